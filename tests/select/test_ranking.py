"""Who counts and who comes first."""

from __future__ import annotations

import pytest
from trial_records import make_trial

from archsearch.select.leaderboard import rows
from archsearch.select.ranking import feasible, finalists, measured, pareto_front, rank
from archsearch.select.summary import summary
from archsearch.spec.settings import Constraint, Objective
from archsearch.spec.trial import State, Trial

ACCURACY = (Objective("accuracy", "max"),)
BOTH = (Objective("accuracy", "max"), Objective("params", "min"))
SMALL = (Constraint("params", "<=", 100.0),)


def order(trials: list[Trial]) -> list[int]:
    return [trial.index for trial in trials]


def test_a_larger_accuracy_comes_first_and_a_smaller_error_too() -> None:
    trials = [make_trial(i, accuracy=a, mse=a) for i, a in enumerate((0.5, 0.9, 0.7))]
    assert order(rank(trials, ACCURACY)) == [1, 2, 0]
    assert order(rank(trials, (Objective("mse", "min"),))) == [0, 2, 1]


def test_ties_go_to_the_smaller_loss_then_fewer_parameters_then_the_earlier() -> None:
    trials = [
        make_trial(0, accuracy=0.9, loss=0.3, params=10.0),
        make_trial(1, accuracy=0.9, loss=0.2, params=30.0),
        make_trial(2, accuracy=0.9, loss=0.2, params=20.0),
        make_trial(3, accuracy=0.9, loss=0.2, params=20.0),
        make_trial(4, accuracy=0.9, params=1.0),
    ]
    assert order(rank(trials, ACCURACY)) == [2, 3, 1, 0, 4]
    assert order(rank(list(reversed(trials)), ACCURACY)) == [2, 3, 1, 0, 4]
    assert order(rank(trials, ACCURACY, tie_break=())) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("state", [state for state in State if state is not State.COMPLETE])
def test_only_complete_trials_count(state: State) -> None:
    trials = [make_trial(0, state, accuracy=1.0), make_trial(1, accuracy=0.1)]
    assert order(rank(trials, ACCURACY)) == [1]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_no_value_that_is_not_finite_wins(value: float) -> None:
    trials = [make_trial(0, accuracy=value), make_trial(1, accuracy=0.1), make_trial(2, loss=0.0)]
    assert order(rank(trials, ACCURACY)) == [1]


def test_constraints_are_kept_and_an_unmeasured_one_is_not() -> None:
    trials = [
        make_trial(0, accuracy=0.9, params=101.0),
        make_trial(1, accuracy=0.5, params=100.0),
        make_trial(2, accuracy=0.8),
    ]
    assert order(rank(trials, ACCURACY, SMALL)) == [1]
    assert not feasible(trials[2], SMALL)
    assert feasible(trials[2], ())


def test_a_timing_can_be_a_constraint_and_an_objective() -> None:
    slow = make_trial(0, accuracy=0.9, timings={"latency_ms": 9.0})
    fast = make_trial(1, accuracy=0.8, timings={"latency_ms": 1.0})
    assert measured(slow, "latency_ms") == 9.0
    assert order(rank([slow, fast], ACCURACY, (Constraint("latency_ms", "<", 5.0),))) == [1]
    assert order(rank([slow, fast], (Objective("latency_ms", "min"),))) == [1, 0]


def test_several_objectives_put_the_front_first() -> None:
    trials = [
        make_trial(0, accuracy=0.90, params=50.0),
        make_trial(1, accuracy=0.80, params=10.0),
        make_trial(2, accuracy=0.89, params=60.0),  # worse than 0 in both
        make_trial(3, accuracy=0.95, params=90.0),
        make_trial(4, accuracy=0.70, params=70.0),  # worse than 2 in both
    ]
    assert order(rank(trials, BOTH)) == [3, 0, 1, 2, 4]
    assert order(pareto_front(trials, BOTH)) == [3, 0, 1]


def test_finalists_are_different_architectures() -> None:
    trials = [make_trial(i, width=w, accuracy=a) for i, w, a in ((0, 8, 0.9), (1, 8, 0.9))]
    trials += [make_trial(2, width=16, accuracy=0.8), make_trial(3, width=24, accuracy=0.7)]
    assert order(finalists(trials, ACCURACY, (), 2)) == [0, 2]
    assert order(finalists(trials, ACCURACY, (), 9)) == [0, 2, 3]
    assert finalists(trials, ACCURACY, (), 0) == []
    assert finalists([], ACCURACY, (), 3) == []


def test_the_table_has_every_trial_and_says_why_one_has_no_place() -> None:
    trials = [
        make_trial(0, State.DIVERGED, message="loss is NaN at step 12"),
        make_trial(1, width=8, accuracy=0.5, params=9.0),
        make_trial(2, width=16, accuracy=0.7, params=101.0),
        make_trial(3, width=24, accuracy=0.9, params=90.0),
        make_trial(4, width=24, accuracy=0.9, params=90.0),
        make_trial(5, loss=0.1),
        make_trial(6, accuracy=0.99),
    ]
    table = rows(trials, ACCURACY, SMALL)
    assert [(row.place, row.index) for row in table] == [
        (1, 3),
        (2, 4),
        (3, 1),
        (None, 0),
        (None, 2),
        (None, 5),
        (None, 6),
    ]
    why = {row.index: row.why for row in table}
    assert why[0] == "diverged: loss is NaN at step 12"
    assert why[2] == "params is 101, expected params <= 100"
    assert why[5] == "no value of accuracy"
    assert why[6] == "no value of params"
    assert table[0].why == ""
    assert [row.repeats for row in table[:3]] == [None, 3, None]
    assert table[0].value("params") == 90.0
    assert table[0].front is None
    assert len(rows(trials, ACCURACY, SMALL, limit=2)) == 2


def test_a_bound_that_is_missed_by_one_is_told_to_its_last_digit() -> None:
    bound = (Constraint("params", "<=", 1_000_000.0),)
    table = rows([make_trial(0, accuracy=0.5, params=1_000_001.0)], ACCURACY, bound)
    assert table[0].why == "params is 1000001, expected params <= 1000000"
    bound = (Constraint("loss", "<", 0.25),)
    table = rows([make_trial(0, accuracy=0.5, loss=0.3)], ACCURACY, bound)
    assert table[0].why == "loss is 0.3, expected loss < 0.25"


def test_the_table_names_the_front_with_several_objectives() -> None:
    trials = [
        make_trial(0, accuracy=0.9, params=50.0),
        make_trial(1, accuracy=0.8, params=60.0),
        make_trial(2, accuracy=0.7, params=10.0),
    ]
    assert [(row.index, row.front) for row in rows(trials, BOTH)] == [(0, 0), (2, 0), (1, 1)]


def test_a_search_in_numbers() -> None:
    values = (0.5, 0.7, 0.6, 0.8)
    trials = [
        make_trial(i, width=8 + i // 2, accuracy=v, timings={"cpu_seconds": 2.0})
        for i, v in enumerate(values)
    ]
    trials.append(make_trial(4, State.OOM))
    found = summary(trials, ACCURACY)
    assert (found.trials, found.evaluations) == (5, 3)
    assert found.states == (("complete", 4), ("out-of-memory", 1))
    assert (found.best, found.median) == (0.8, pytest.approx(0.65))
    assert found.improved == ((0, 0.5), (1, 0.7), (3, 0.8))
    assert found.cpu_seconds == 8.0


def test_a_search_without_values_has_no_best() -> None:
    found = summary([make_trial(0, State.CRASHED)], ACCURACY)
    assert (found.best, found.median, found.improved) == (None, None, ())
