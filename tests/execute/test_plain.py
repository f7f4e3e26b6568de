"""Jobs and outcomes survive JSON exactly."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsearch.execute.plain import (
    job_from_plain,
    job_to_plain,
    outcome_from_plain,
    outcome_to_plain,
)
from archsearch.spec.architecture import Layer, Stage
from archsearch.spec.settings import Objective
from archsearch.spec.trial import Limit, Outcome, State
from archsearch.testing.faults import fault_job

numbers = st.floats(allow_nan=False)
metrics = st.lists(st.tuples(st.text(max_size=5), numbers), max_size=3).map(tuple)
outcomes = st.builds(
    Outcome,
    state=st.sampled_from(State),
    metrics=metrics,
    curve=st.lists(st.tuples(st.integers(0), metrics), max_size=3).map(tuple),
    message=st.text(max_size=20),
    timings=metrics,
    weights=st.none() | st.text(max_size=5),
    lost=st.booleans(),
)


@settings(max_examples=100, deadline=None)
@given(outcomes)
def test_an_outcome_survives(outcome: Outcome) -> None:
    assert outcome_from_plain(json.loads(json.dumps(outcome_to_plain(outcome)))) == outcome


def test_a_job_survives() -> None:
    job = fault_job(3, "trial 3 · gru w8", timeout=1.5, memory=10, keep="weights/3")
    stage = replace(job.architecture.stages[0], loops=3, halting=Layer.of("act", weight=0.1))
    inner = Layer.of("graph", parts=(Layer.of("add"), 1, 2.5, True, None, "x"))
    architecture = replace(job.architecture, stages=(stage, Stage(())), head=inner)
    job = replace(
        job,
        architecture=architecture,
        protocol="confirm",
        objectives=(Objective("accuracy", "max"), Objective("params", "min")),
        limits=(Limit(10, ((-0.5, 100.0), (-0.25, math.inf))), Limit(20, ())),
    )
    back = job_from_plain(json.loads(json.dumps(job_to_plain(job))))
    assert back == job
    assert back.key == job.key


@pytest.mark.parametrize(
    "lie",
    [
        {},
        {"state": "complete"},
        {**outcome_to_plain(Outcome(State.COMPLETE)), "state": "splendid"},
        {**outcome_to_plain(Outcome(State.COMPLETE)), "metrics": [["a", "b"]]},
        {**outcome_to_plain(Outcome(State.COMPLETE)), "curve": 3},
    ],
)
def test_what_is_no_outcome_is_refused(lie: dict[str, object]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        outcome_from_plain(lie)
