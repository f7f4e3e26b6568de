"""Regression over files: its units, its errors, and targets that hardly vary."""

from __future__ import annotations

import numpy as np
import pytest
from sequence_tables import numbers

from archsearch.errors import DataError


def test_regression_is_judged_in_its_own_units(opened, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 6))
    path = tmp_path / "r.npz"
    y = 1000 + 50 * x.mean(axis=1)
    np.savez(path, x=x, y=y)
    task = opened("regression", data=str(path))
    batches = list(task.evaluation("test", 4))
    rows = np.concatenate([batch.rows for batch in batches])
    perfect = task.score([batch.targets for batch in batches], batches)
    assert perfect["rmse"] == pytest.approx(0, abs=1e-4)
    assert perfect["r2"] == pytest.approx(1)
    off = task.score([b.targets + 1 for b in batches], batches)
    train = y[numbers(task, "train")]
    assert off["mae"] == pytest.approx(train.std(), rel=1e-5)
    assert off["rmse"] == pytest.approx(train.std(), rel=1e-5)
    mean = task.baselines("test")["mean"]
    assert mean["rmse"] == pytest.approx(np.sqrt(np.mean((y[rows] - train.mean()) ** 2)))
    assert [goal.metric for goal in task.metrics] == ["rmse", "mae", "r2"]


def test_a_constant_target_neither_divides_by_zero_nor_explains(opened, tmp_path):
    path = tmp_path / "r.npz"
    np.savez(path, x=np.random.default_rng(0).random((20, 4)), y=np.full(20, 3.0))
    scores = opened("regression", data=str(path)).baselines("test")["mean"]
    assert scores == {"rmse": 0.0, "mae": 0.0, "r2": 1.0}


@pytest.mark.parametrize("value", [0.1, 3.7, -1e9])
def test_what_misses_a_constant_target_explains_nothing(opened, tmp_path, value):
    """Although the mean of equal numbers is not always that number."""
    path = tmp_path / "r.npz"
    np.savez(path, x=np.random.default_rng(0).random((60, 4)), y=np.full(60, value))
    task = opened("regression", data=str(path))
    assert {name: each["r2"] for name, each in task.baselines().items()} == {
        "mean": 1.0,
        "median": 1.0,
    }
    batches = list(task.evaluation("test"))
    assert task.score([batch.targets + 0.5 for batch in batches], batches)["r2"] == 0.0


def test_no_error_of_the_training_split_is_what_a_guess_has_on_test(opened, tmp_path):
    path = tmp_path / "r.npz"
    np.savez(path, x=np.random.default_rng(0).random((60, 4)), y=np.arange(60.0))
    assert opened("regression", data=str(path)).chance() == {"r2": 0.0}


def test_large_offsets_keep_their_digits(opened, tmp_path):
    path = tmp_path / "r.npz"
    x = 1e12 + np.arange(20 * 4).reshape(20, 4)
    np.savez(path, x=x, y=np.arange(20) % 2)
    batch = next(iter(opened("classification", data=str(path)).evaluation("train")))
    assert len(np.unique(batch.inputs)) == batch.inputs.size


def test_regression_of_words_points_to_classification(opened, wide):
    with pytest.raises(DataError, match="'going up'; for classes use the task classification"):
        opened("regression", data=str(wide))
