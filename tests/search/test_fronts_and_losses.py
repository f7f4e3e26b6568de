"""Non-dominated sorting against its definition; losses and violations are finite or absent."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsearch.search.fronts import ranks
from archsearch.search.losses import losses, measured, violations
from archsearch.spec.settings import Constraint, Objective
from archsearch.spec.trial import Outcome, State, dominates

COARSE = st.integers(-3, 3).map(float)


def peeled(vectors: list[tuple[float, ...]]) -> list[int]:
    """By the definition: a front is what nobody dominates once the fronts before are gone."""
    found: dict[int, int] = {}
    rank = 0
    while len(found) < len(vectors):
        left = [place for place in range(len(vectors)) if place not in found]
        front = [
            place
            for place in left
            if not any(dominates(vectors[other], vectors[place]) for other in left)
        ]
        found.update(dict.fromkeys(front, rank))
        rank += 1
    return [found[place] for place in range(len(vectors))]


@given(st.integers(1, 4).flatmap(lambda size: st.lists(st.tuples(*[COARSE] * size), max_size=30)))
def test_ranks_are_the_fronts_peeled_off_one_by_one(vectors: list[tuple[float, ...]]) -> None:
    assert ranks(vectors) == peeled(vectors)


@given(st.lists(st.tuples(COARSE, COARSE), min_size=1, max_size=30), st.integers(1, 30))
def test_ranks_end_with_the_front_that_reaches_the_wanted_number(
    vectors: list[tuple[float, ...]], wanted: int
) -> None:
    wanted = min(wanted, len(vectors))
    full, found = peeled(vectors), ranks(vectors, wanted)
    last = sorted(full)[wanted - 1]
    assert found == [min(rank, last + 1) for rank in full]


def test_one_loss_ranks_by_distinct_values() -> None:
    assert ranks([(3.0,), (1.0,), (3.0,), (2.0,)]) == [2, 0, 2, 1]


def outcome(**metrics: float) -> Outcome:
    return Outcome(State.COMPLETE, tuple(metrics.items()), timings=(("latency_ms", 2.5),))


def test_losses_turn_the_sign_of_what_is_maximised() -> None:
    aims = (Objective("accuracy", "max"), Objective("params", "min"))
    assert losses(outcome(accuracy=0.75, params=10.0), aims) == (-0.75, 10.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_no_value(value: float) -> None:
    aims = (Objective("accuracy", "max"), Objective("params", "min"))
    assert losses(outcome(accuracy=value, params=10.0), aims) is None
    assert losses(outcome(params=10.0), aims) is None
    assert violations(outcome(params=value), (Constraint("params", "<=", 1.0),)) is None


def test_a_timing_answers_when_no_metric_has_its_name() -> None:
    assert measured(outcome(accuracy=1.0), "latency_ms") == 2.5
    assert measured(outcome(latency_ms=1.0), "latency_ms") == 1.0


def test_violations_are_shares_of_the_bound() -> None:
    bounds = (Constraint("params", "<=", 200.0), Constraint("accuracy", ">=", 0.5))
    assert violations(outcome(params=300.0, accuracy=0.25), bounds) == (0.5, 0.5)
    assert violations(outcome(params=200.0, accuracy=0.5), bounds) == (0.0, 0.0)
    assert violations(outcome(params=3.0), (Constraint("params", "<=", 0.0),)) == (3.0,)


def test_a_strict_bound_that_is_just_met_is_violated() -> None:
    missed = violations(outcome(params=200.0), (Constraint("params", "<", 200.0),))
    assert missed is not None
    assert missed[0] > 0.0
