"""A training that was interrupted, made once for all tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from checkpointed import interrupted, long_job, undisturbed
from ray_nodes import RayNodes

from archsearch.execute.cluster.token import make_safe
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


@pytest.fixture(scope="session")
def token(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a token, in place of the user's own."""
    if find_spec("ray") is None:
        pytest.skip("no Ray: pip install 'archsearch[ray]'")
    path = tmp_path_factory.mktemp("ray") / "token"
    make_safe({"RAY_AUTH_TOKEN_PATH": str(path)}, create=True)
    return path


@pytest.fixture(scope="module")
def shared_nodes(token: Path) -> Iterator[RayNodes]:
    """Two nodes with one core each, for tests that do them no harm."""
    with RayNodes(token) as nodes:
        yield nodes


@pytest.fixture
def nodes(shared_nodes: RayNodes, monkeypatch: pytest.MonkeyPatch) -> RayNodes:
    """Those nodes, with this process set to find its way in."""
    for name, value in shared_nodes.variables.items():
        monkeypatch.setenv(name, value)
    return shared_nodes
