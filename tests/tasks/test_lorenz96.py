"""The Lorenz-96 generator against published facts about the system."""

from __future__ import annotations

import numpy as np
import pytest

from archsearch.errors import DataError
from archsearch.tasks.lorenz96 import runge_kutta, tendency, trajectories

OPTIONS = {"sites": 8, "context": 6, "horizon": 3, "train_size": 64, "validation_size": 20}


def test_the_tendency_is_the_equation_on_a_ring():
    state = np.random.default_rng(0).standard_normal((2, 7))
    for row in range(2):
        for i in range(7):
            x = state[row]
            wanted = (x[(i + 1) % 7] - x[i - 2]) * x[i - 1] - x[i] + 8.0
            assert tendency(state, 8.0)[row, i] == pytest.approx(wanted)


def test_the_integrator_is_of_fourth_order():
    start = 8 + np.random.default_rng(1).standard_normal(10)

    def end(step: float) -> np.ndarray:
        state = start
        for _ in range(round(0.4 / step)):
            state = runge_kutta(state, 8.0, step)
        return state

    exact = end(0.00125)
    ratio = np.abs(end(0.04) - exact).max() / np.abs(end(0.02) - exact).max()
    assert 12 < ratio < 22


def test_neighbours_part_at_the_published_rate_and_the_spread_is_the_published_one():
    rng = np.random.default_rng(2)
    states = trajectories(8 + 0.01 * rng.standard_normal((60, 40)), 8.0, 1, 1, spin_up=1500)[:, 0]
    assert states.std() == pytest.approx(3.64, rel=0.05)
    apart = 1e-7 * rng.standard_normal(states.shape)
    grown = []
    for unit in range(14):
        other = states + apart
        size = np.linalg.norm(apart, axis=1)
        for _ in range(50):
            states, other = runge_kutta(states, 8.0), runge_kutta(other, 8.0)
        apart = other - states
        if unit >= 4:
            grown.append(np.log(np.linalg.norm(apart, axis=1) / size).mean() / 0.5)
        apart *= (1e-7 / np.linalg.norm(apart, axis=1))[:, None]
    assert np.mean(grown) == pytest.approx(1.70, rel=0.1)


def test_splits_have_windows_of_their_own(opened):
    task = opened("lorenz96", **OPTIONS)
    seen: dict[bytes, str] = {}
    counts = {"train": 0, "validation": 0, "test": 0}
    for split in counts:
        for batch in task.evaluation(split, 7):
            assert batch.inputs.shape[1:] == (6, 8)
            assert batch.targets.shape[1:] == (24,)
            counts[split] += batch.size
            whole = np.concatenate([batch.inputs.reshape(batch.size, -1), batch.targets], axis=1)
            for step in whole.reshape(-1, 8):
                assert seen.setdefault(step.tobytes(), split) == split
    assert counts == {"train": 64, "validation": 20, "test": 512}
    assert len(seen) == sum(counts.values()) * 9


def test_inputs_are_in_units_of_the_training_deviation_and_climatology_scores_one(opened):
    task = opened("lorenz96", **{**OPTIONS, "train_size": 512})
    whole = np.concatenate([batch.inputs for batch in task.evaluation("train")])
    assert whole.mean() == pytest.approx(0, abs=0.05)
    assert whole.std() == pytest.approx(1, abs=0.05)
    scores = task.baselines("test")
    assert scores["climatology"]["nrmse"] == pytest.approx(1, abs=0.1)
    assert scores["persistence"]["nrmse"] < 0.8
    truth = list(task.evaluation("test"))
    assert task.score([b.targets for b in truth], truth) == {"nrmse": 0.0, "mae": 0.0}


def test_confirming_trains_on_validation_too_and_keeps_test(opened):
    search, confirm = (opened("lorenz96", protocol=p, **OPTIONS) for p in ("search", "confirm"))
    assert search.fingerprint == confirm.fingerprint
    assert confirm.describe()["train"] == 84
    first = [next(iter(task.evaluation("test"))).inputs for task in (search, confirm)]
    assert first[0].tobytes() == first[1].tobytes()


def test_the_interval_must_fit_the_step(opened):
    with pytest.raises(DataError, match=r"multiple of 0\.01"):
        opened("lorenz96", interval=0.013)
