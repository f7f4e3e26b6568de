"""Whatever a trial can contain comes back from the store as it was."""

from __future__ import annotations

import math
import random
import struct
from dataclasses import replace

import pytest

from archsearch.spec.trial import Outcome, State
from archsearch.store.store import Store
from archsearch.testing.store_fixtures import HERE, StoreFixtures, outcome, trials

FLOATS = (0.0, -0.0, 5e-324, -2.5e-310, 0.1, 1 / 3, 1.7976931348623157e308, 2.0**53 + 2)
NOT_FINITE = (math.nan, math.inf, -math.inf)
HOSTILE = (
    "'; DROP TABLE trial; --",
    '" OR ""="',
    "%s %(name)s {0} :name ?",
    "NUL \0 inside",
    "line\r\nbreak\ttab",
    "back\\slash \\u0000 \\\\ end\\",
    "\ud800 half a surrogate",
    "\U0001f600 \u202eright to left",
    "\x1b[31mred",
    "",
)


def bits(value: float) -> bytes:
    return struct.pack("<d", value)


class StoreValues(StoreFixtures):
    """Numbers to the last bit and texts to the last character."""

    @pytest.mark.parametrize("value", [*FLOATS, *NOT_FINITE])
    def test_floats_come_back_bit_for_bit(self, store: Store, study: int, value: float) -> None:
        (trial,) = trials(1)
        pointed = replace(trial, point=(("a", value), ("b", 3), ("c", 3.0)))
        store.start(study, pointed, "key")
        store.finish(study, pointed, 1, outcome(value, -value))
        (back,) = store.history(study)
        assert [type(decided) for _, decided in back.point] == [float, int, float]
        assert bits(float(back.point[0][1])) == bits(value)
        for metrics in (back.outcome.metrics, back.outcome.curve[1][1]):
            if math.isnan(value):
                assert math.isnan(metrics[0][1])
            else:
                assert [bits(number) for _, number in metrics] == [bits(value), bits(-value)]

    def test_any_metrics_come_back(self, store: Store, study: int) -> None:
        rng = random.Random(0)
        drawn = [struct.unpack("<d", rng.randbytes(8))[0] for _ in range(500)]
        metrics = tuple((str(place), value) for place, value in enumerate(drawn) if value == value)
        (trial,) = trials(1)
        store.start(study, trial, "key")
        store.finish(study, trial, 1, Outcome(State.COMPLETE, metrics))
        assert store.history(study)[0].outcome.metrics == metrics

    @pytest.mark.parametrize("words", HOSTILE, ids=ascii)
    def test_hostile_texts_come_back(self, store: Store, name: str, words: str) -> None:
        record = store.create_study(name, {words: words}, words, {"x": [words]})
        store.acquire(record.id, HERE)
        (trial,) = trials(1)
        named = replace(trial, role=words, point=((words, 1),))
        store.start(record.id, named, "key")
        result = Outcome(State.COMPLETE, ((words, 1.0),), (), words, (), words)
        store.finish(record.id, named, 1, result)
        store.ended(record.id, words)
        found = store.find_study(name)
        assert found is not None
        assert (found.fingerprint, found.text, found.ended) == ({words: words}, words, words)
        assert found.settings == {"x": [words]}
        assert store.history(record.id) == [replace(named, outcome=result)]
