"""A training that was interrupted, made once for all tests."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from checkpointed import interrupted, long_job, undisturbed

from archsearch.execute.job import Job

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    return undisturbed(tmp_path_factory.mktemp("reference"))


@pytest.fixture(scope="session")
def left(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A job that was lost after step 7; its checkpoints are not to be changed."""
    job = long_job(tmp_path_factory.mktemp("left"))
    interrupted(job, after=7)
    return job


@pytest.fixture
def lost(left: Job, tmp_path: Path) -> Job:
    """A copy of that job and of all that it left."""
    shutil.copytree(str(left.checkpoints), tmp_path / "checkpoints")
    return replace(
        left, checkpoints=str(tmp_path / "checkpoints"), keep=str(tmp_path / "w.safetensors")
    )
