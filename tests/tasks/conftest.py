"""What the tests of tasks share: opening a task by name and writing small files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from archsearch.spec.architecture import Layer
from archsearch.spec.settings import TaskSpec
from archsearch.tasks.open import open_task
from archsearch.tasks.task import Task


@pytest.fixture
def opened() -> Callable[..., Task]:
    def open_by_name(name: str, protocol: str = "search", **options: Any) -> Task:
        return open_task(TaskSpec(name, Layer.of(name, **options)), protocol)  # type: ignore[arg-type]

    return open_by_name


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """60 sequences of 9 steps, classes up and down (one to two), written as a wide CSV."""
    rng = np.random.default_rng(0)
    rising = np.arange(60) % 3 == 0
    slope = np.where(rising, 1.0, -1.0)[:, None]
    steps = 5 + slope * np.arange(9) + 0.1 * rng.standard_normal((60, 9))
    table = pd.DataFrame(steps, columns=[f"step{place}" for place in range(9)])
    table["label"] = np.where(rising, "going up", "going down")
    path = tmp_path / "wide.csv"
    table.to_csv(path, index=False)
    return path


@pytest.fixture
def monthly(tmp_path: Path) -> Path:
    """120 months of a trend with a yearly season and one covariate that leads it by a month."""
    months = pd.date_range("2010-01-01", periods=120, freq="MS").strftime("%Y-%m-%d")
    place = np.arange(120)
    value = 100 + 2.0 * place + 30 * np.sin(2 * np.pi * place / 12)
    table = pd.DataFrame({"date": months, "lead": np.roll(value, -1), "value": value})
    path = tmp_path / "monthly.csv"
    table.to_csv(path, index=False)
    return path
