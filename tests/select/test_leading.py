"""The top of a table found from values alone: the same rows as from the whole trials."""

from __future__ import annotations

import math
import random

import pytest
from trial_records import make_trial

from archsearch.select.leaderboard import rows
from archsearch.select.leading import leading
from archsearch.spec.settings import Constraint, Objective
from archsearch.spec.trial import State, Trial

SEVERAL = {
    "one": (Objective("accuracy", "max"),),
    "two": (Objective("accuracy", "max"), Objective("params", "min")),
    "three": (Objective("loss", "min"), Objective("params", "min"), Objective("latency_ms", "min")),
}
BOUNDS = ((), (Constraint("params", "<=", 5.0),), (Constraint("nobody", "<", 1.0),))


def drawn(seed: int, number: int = 60) -> list[Trial]:
    """Trials with ties, missing and impossible values, repeats, and states without a value."""
    rng = random.Random(seed)
    strange = (math.nan, math.inf, -math.inf)
    found = []
    for index in range(number):
        state = rng.choice([State.COMPLETE] * 6 + [State.DIVERGED, State.RUNNING])
        values = {
            name: rng.choice(strange) if rng.random() < 0.05 else float(rng.randrange(8))
            for name in ("accuracy", "loss", "params")
            if rng.random() > 0.05
        }
        timings = {"latency_ms": float(rng.randrange(4))} if rng.random() > 0.1 else {}
        width = 8 + rng.randrange(30)
        found.append(make_trial(index, state, width=width, timings=timings, **values))
    return found


def values(trials: list[Trial]) -> list[dict[str, float]]:
    return [{**dict(trial.outcome.timings), **dict(trial.outcome.metrics)} for trial in trials]


@pytest.mark.parametrize("limit", [1, 5, 20, 200])
@pytest.mark.parametrize("bounds", BOUNDS, ids=["free", "bounded", "unmeasured"])
@pytest.mark.parametrize("several", SEVERAL)
def test_the_table_is_the_same(several: str, bounds: tuple[Constraint, ...], limit: int) -> None:
    objectives = SEVERAL[several]
    for seed in range(5):
        trials = drawn(seed)
        complete = [trial for trial in trials if trial.state.has_value]
        indices = [trial.index for trial in complete]
        chosen = leading(indices, values(complete), objectives, bounds, limit)
        whole = [row for row in rows(trials, objectives, bounds, limit) if row.place]
        assert chosen == [row.index for row in whole]
        shown = [trial for trial in trials if trial.index in chosen]
        assert rows(shown, objectives, bounds, limit) == whole


def test_of_nothing_nothing() -> None:
    assert leading([], [], SEVERAL["two"], (), 10) == []
