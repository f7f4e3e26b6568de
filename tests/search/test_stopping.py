"""Limits: plain thresholds with one objective, fronts with several, mercy for whoever leads."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archsearch.errors import SpaceError
from archsearch.search.stopping import Stopping
from archsearch.spec.architecture import Architecture, Layer
from archsearch.spec.settings import Objective
from archsearch.spec.trial import Limit, Outcome, State, Trial, dominates

ACCURACY, LOSS = Objective("accuracy", "max"), Objective("loss", "min")
PARAMS = Objective("params", "min")
MEDIAN = Layer.of("median", warmup=4, after=0.0)
HALVING = Layer.of("halving", eta=3, rungs=2, warmup=3)
EMPTY = Architecture(8, ())


def limits(
    layer: Layer, history: list[Trial], objectives: tuple[Objective, ...]
) -> tuple[Limit, ...]:
    return Stopping(layer, objectives).limits(history)


def learner(
    curve: list[float], params: float = 1.0, state: State = State.COMPLETE, metric: str = "loss"
) -> Trial:
    """A trial that reported ``curve`` at steps 10, 20, ..."""
    steps = tuple((10 * (place + 1), ((metric, value),)) for place, value in enumerate(curve))
    outcome = Outcome(state, (("params", params),), steps)
    return Trial(0, "search", (), EMPTY, "", 0, outcome)


def flat(value: float, params: float = 1.0) -> Trial:
    return learner([value] * 10, params)


def test_the_median_of_one_objective() -> None:
    history = [flat(value) for value in (5.0, 1.0, 4.0, 2.0, 3.0)]
    found = limits(MEDIAN, history, (LOSS,))
    assert found == tuple(Limit(step, ((3.0,),)) for step in range(10, 100, 10))
    assert not found[0].stops((3.0,))
    assert found[0].stops((3.0000001,))


def test_what_is_maximised_stops_below_the_median() -> None:
    history = [learner([value] * 2, metric="accuracy") for value in (0.1, 0.2, 0.3, 0.4)]
    (found,) = limits(MEDIAN, history, (ACCURACY,))
    assert found.front == ((-0.3,),)
    assert found.stops((-0.2,))


def test_whoever_was_cut_counts_as_worse_later() -> None:
    finished = [flat(value) for value in (1.0, 2.0, 3.0, 4.0)]
    cut = [learner([value, value], state=State.STOPPED) for value in (5.0, 6.0, 7.0, 8.0)]
    found = {limit.step: limit.front for limit in limits(MEDIAN, finished + cut, (LOSS,))}
    assert found[10] == found[90] == ((4.0,),)


def test_a_share_of_the_training_is_denied_to_nobody() -> None:
    history = [flat(float(value)) for value in range(6)]
    found = limits(Layer.of("median", warmup=4, after=0.5), history, (LOSS,))
    assert [limit.step for limit in found] == [50, 60, 70, 80, 90]


def test_rungs_of_halving() -> None:
    history = [flat(float(value)) for value in range(9)]
    found = limits(HALVING, history, (LOSS,))
    assert found == (Limit(20, ((2.0,),)), Limit(40, ((2.0,),)))


def test_nothing_is_stopped_before_the_warmup_or_at_the_end() -> None:
    history = [flat(float(value)) for value in range(3)]
    assert limits(MEDIAN, history, (LOSS,)) == ()
    assert limits(MEDIAN, [], (LOSS,)) == ()
    assert limits(Layer("none"), [flat(0.0)] * 50, (LOSS,)) == ()
    assert all(limit.step < 100 for limit in limits(MEDIAN, history * 4, (LOSS,)))


def test_several_objectives_are_limited_by_a_front() -> None:
    history = [flat(1.0, 9.0), flat(9.0, 1.0), flat(2.0, 9.5), flat(9.5, 2.0)]
    found = limits(MEDIAN, history, (LOSS, PARAMS))[0]
    assert found.front == ((1.0, 9.0), (9.0, 1.0))
    assert found.stops((1.5, 9.0))
    assert not found.stops((5.0, 5.0))
    assert not found.stops((1.0, 9.0))


def test_values_that_are_not_finite_and_missing_metrics_are_passed_over() -> None:
    history = [flat(float(value)) for value in range(1, 6)]
    spoilt = [flat(math.nan), flat(-math.inf), flat(math.inf), learner([]), flat(0.0, math.nan)]
    assert limits(MEDIAN, history + spoilt, (LOSS, PARAMS)) == limits(
        MEDIAN, history, (LOSS, PARAMS)
    )
    assert limits(MEDIAN, history, (Objective("nowhere", "min"),)) == ()


@pytest.mark.parametrize("state", [State.CRASHED, State.TIMEOUT, State.OOM, State.RUNNING])
def test_accidents_say_nothing(state: State) -> None:
    history = [flat(float(value)) for value in range(5)]
    accidents = [learner([0.0] * 10, state=state) for _ in range(20)]
    assert limits(MEDIAN, history + accidents, (LOSS,)) == limits(MEDIAN, history, (LOSS,))


def test_only_the_latest_trials_count() -> None:
    old, new = [flat(0.0)] * 30, [flat(float(value)) for value in range(10)]
    layer = Layer.of("median", warmup=4, after=0.0, window=10)
    assert limits(layer, old + new, (LOSS,)) == limits(layer, new, (LOSS,))


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(SpaceError, match="did you mean 'median'"):
        limits(Layer("medain"), [], (LOSS,))


@pytest.mark.parametrize("layer", [MEDIAN, HALVING, Layer.of("median", warmup=2, window=10)])
def test_a_rule_that_saw_other_histories_says_what_a_new_one_says(layer: Layer) -> None:
    history = [
        learner([float(value)] * (4 + value % 7), params=50.0 - value) for value in range(40)
    ]
    other = [flat(-float(value)) for value in range(40)]
    rule = Stopping(layer, (LOSS, PARAMS))
    for shown in [*(history[:count] for count in (0, 3, 12, 13, 40, 13)), other, history]:
        assert rule.limits(shown) == limits(layer, shown, (LOSS, PARAMS))


VALUES = st.floats(-10, 10, allow_nan=False)
STATES = st.sampled_from([State.COMPLETE, State.STOPPED, State.DIVERGED])
CURVES = st.lists(
    st.builds(learner, st.lists(VALUES, min_size=1, max_size=6), VALUES, STATES), max_size=25
)


@settings(max_examples=150, deadline=None)
@given(CURVES, st.sampled_from([MEDIAN, HALVING]))
def test_whoever_is_better_than_all_never_stops(history: list[Trial], layer: Layer) -> None:
    for limit in limits(layer, history, (LOSS, PARAMS)):
        assert not limit.stops((-11.0, -11.0))
        assert not limit.stops((-11.0, 11.0))
        assert limit.stops((11.0, 11.0))


@settings(max_examples=150, deadline=None)
@given(CURVES)
def test_one_objective_is_the_k_th_best(history: list[Trial]) -> None:
    for limit in limits(HALVING, history, (LOSS,)):
        at_step = sorted(
            value
            for trial in history
            for step, metrics in trial.outcome.curve
            if step == limit.step
            for _, value in metrics
        )
        assert limit.front == ((at_step[math.ceil(len(at_step) / 3) - 1],),)


@settings(max_examples=100, deadline=None)
@given(CURVES)
def test_at_least_the_kept_share_would_pass(history: list[Trial]) -> None:
    for limit in limits(HALVING, history, (LOSS, PARAMS)):
        vectors = [
            (dict(metrics)["loss"], trial.outcome.metric("params") or 0.0)
            for trial in history
            for step, metrics in trial.outcome.curve
            if step == limit.step
        ]
        passed = [vector for vector in vectors if not limit.stops(vector)]
        assert len(passed) >= len(vectors) / 3
        assert not any(dominates(a, b) for a in limit.front for b in limit.front)
