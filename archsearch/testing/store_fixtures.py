"""What tests of a store are given: an open store, a study that is driven, trials and outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from archsearch.spec.trial import Outcome, State, Trial
from archsearch.store.store import Store, open_store
from archsearch.testing.toy import example_space, random_history

HERE, ELSEWHERE = "1@here.invalid", "2@elsewhere.invalid"


def trials(count: int, phase: str = "search") -> list[Trial]:
    """Trials that are about to start."""
    return [
        replace(trial, phase=phase, outcome=Outcome(State.RUNNING))
        for trial in random_history(example_space(), count)
    ]


def outcome(*values: float, state: State = State.COMPLETE, message: str = "") -> Outcome:
    metrics = tuple((f"metric {place}", value) for place, value in enumerate(values))
    timings = (("seconds", 1.5), ("cpu_seconds", 2.0), ("gpu_seconds", 0.25))
    curve = tuple((step, metrics) for step in (10, 20))
    return Outcome(state, metrics, curve, message, timings, "weights/a.safetensors")


class StoreFixtures:
    """A subclass gives ``url``, a database that is empty or has the studies of other tests."""

    @pytest.fixture
    def url(self) -> str:
        pytest.fail("a subclass of StoreContract gives a fixture 'url'")

    @pytest.fixture
    def store(self, url: str) -> Iterator[Store]:
        with open_store(url) as opened:
            yield opened

    @pytest.fixture
    def name(self, request: pytest.FixtureRequest) -> str:
        """A study's name that no other test uses."""
        return f"{request.node.nodeid[-150:]} {id(request)}"

    @pytest.fixture
    def study(self, store: Store, name: str) -> int:
        """A study that this process drives."""
        record = store.create_study(name, {"seed": 0}, "space: {}", {})
        store.acquire(record.id, HERE)
        return record.id
