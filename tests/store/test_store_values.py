"""What is measured, read without the trials: the same values, and no silence about damage."""

from __future__ import annotations

import math
import random
import sqlite3
from pathlib import Path

import pytest

from archsearch.errors import StateError
from archsearch.spec.trial import Outcome, State, Trial
from archsearch.store.store import Store, open_store
from archsearch.testing.toy import example_space

STATES = [State.COMPLETE] * 3 + [State.DIVERGED, State.STOPPED]


def filled(store: Store, number: int = 40) -> int:
    """A study of trials in all states, some with values that are no numbers; one runs."""
    space, rng = example_space(), random.Random(0)
    study = store.create_study("toy", {}, "", {}).id
    store.acquire(study)
    for index in range(number):
        point = space.sample(rng)
        architecture = space.architecture(point)
        metrics = (("error", rng.random()), ("loss", rng.choice([math.nan, math.inf, 0.5])))
        timings = (("seconds", rng.random()), ("error", -1.0))
        outcome = Outcome(rng.choice(STATES), metrics, timings=timings)
        running = Trial(index, "search", point, architecture, architecture.digest, index)
        store.start(study, running, f"job {index}")
        if index < number - 1:
            store.finish(study, running, 1, outcome)
    return study


@pytest.mark.parametrize("timed", [False, True])
def test_they_are_those_of_the_trials(timed: bool) -> None:
    with open_store("sqlite://") as store:
        study = filled(store)
        indices, values = store.values(study, timed=timed)
        complete = [trial for trial in store.history(study) if trial.state is State.COMPLETE]
        assert indices == [trial.index for trial in complete]
        for trial, known in zip(complete, values, strict=True):
            timings = dict(trial.outcome.timings) if timed else {}
            # the metric of a name counts before the timing
            wanted = {**timings, **dict(trial.outcome.metrics)}
            assert repr(sorted(known.items())) == repr(sorted(wanted.items()))


def test_some_trials_are_those_of_the_history() -> None:
    with open_store("sqlite://") as store:
        study = filled(store)
        whole = store.history(study)
        found = store.some(study, [7, 3, 39, 1000])
        assert [repr(trial) for trial in found] == [repr(whole[index]) for index in (3, 7, 39)]
        assert store.some(study, []) == []


def test_of_a_study_without_trials_nothing() -> None:
    with open_store("sqlite://") as store:
        study = store.create_study("toy", {}, "", {}).id
        assert store.values(study) == ([], [])


@pytest.mark.parametrize("text", ["", "[", "[],[]", "null", '[["error",1.0]],[["error",0.0]]'])
def test_what_is_no_result_is_said(tmp_path: Path, text: str) -> None:
    url = f"sqlite:///{tmp_path}/damaged.db"
    with open_store(url) as store:
        study = filled(store)
    with sqlite3.connect(tmp_path / "damaged.db") as raw:
        raw.execute("UPDATE result SET metrics = ? WHERE trial = 1", (text,))
    raw.close()
    with open_store(url, read_only=True) as store, pytest.raises(StateError, match="as it was"):
        store.values(study)
