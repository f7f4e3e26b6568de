"""The leaderboard of a study whose trials are not all read: the same table."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from archsearch.cli import results
from archsearch.cli.results import read_leading, read_result
from archsearch.select.leaderboard import rows
from archsearch.spec.architecture import Layer, to_plain
from archsearch.spec.settings import TaskSpec
from archsearch.spec.trial import Outcome, State, Trial
from archsearch.store.store import Store, open_store
from archsearch.testing.toy import example_space

SETTINGS: dict[str, Any] = {"label": "toy", "facts": {}, "trials": 60, "seed": 0}
ASKED = {
    "one": ([["error", "min"]], []),
    "two": ([["error", "min"], ["params", "min"]], [["params", "<=", 5.0]]),
    "timed": ([["latency_ms", "min"], ["error", "min"]], [["seconds", "<", 2.0]]),
}


def filled(store: Store, name: str) -> None:
    task = TaskSpec("toy", Layer("parity"))
    objectives, constraints = ASKED[name]
    settings = {**SETTINGS, "objectives": objectives, "constraints": constraints}
    fingerprint = {"task": to_plain(task.layer), "data": "", "plugins": {}}
    study = store.create_study(name, fingerprint, "", settings).id
    store.acquire(study)
    space, rng = example_space(), random.Random(0)
    for index in range(60):
        point = space.sample(rng)
        architecture = space.architecture(point)
        trial = Trial(index, "search", point, architecture, architecture.digest, index)
        error = math.nan if rng.random() < 0.1 else float(rng.randrange(5))
        outcome = Outcome(
            rng.choice([State.COMPLETE] * 4 + [State.DIVERGED]),
            (("error", error), ("params", float(rng.randrange(9)))),
            timings=(("seconds", float(rng.randrange(4))), ("latency_ms", rng.random())),
        )
        store.advance(study, started=[(replace(trial, outcome=outcome), f"{name} {index}")])


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with open_store("sqlite://") as opened:
        for name in ASKED:
            filled(opened, name)
        yield opened


@pytest.mark.parametrize("limit", [1, 3, 10, 59, 60, 1000])
@pytest.mark.parametrize("name", ASKED)
def test_it_is_the_same_table(store: Store, name: str, limit: int) -> None:
    whole, few = read_result(store, name), read_leading(store, name, limit)
    assert (few.objectives, few.constraints) == (whole.objectives, whole.constraints)
    wanted = rows(whole.searched, whole.objectives, whole.constraints, limit)
    assert repr(rows(few.searched, few.objectives, few.constraints, limit)) == repr(wanted)


def test_few_are_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(read_leading(store, "one", 3).searched) == 3
    monkeypatch.setattr(results, "MOST_LEADING", 2)
    assert len(read_leading(store, "one", 3).searched) == 60


def test_of_a_study_that_is_not_there(tmp_path: Path) -> None:
    missing = pytest.raises(results.InputError, match="no study 'x'; none is stored")
    with open_store(f"sqlite:///{tmp_path}/x.db") as empty, missing:
        read_leading(empty, "x", 10)
