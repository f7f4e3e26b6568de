"""The window keeps the best and the latest, as a function of the history alone."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from archsearch.search.window import Window
from archsearch.spec.settings import Constraint, Objective
from archsearch.spec.trial import Outcome, State, Trial
from archsearch.testing.toy import example_space, random_history, toy_trial

SPACE = example_space()
ERROR, PARAMS = Objective("error", "min"), Objective("params", "min")
HISTORY = random_history(SPACE, 300)


def complete(count: int) -> list[Trial]:
    rng = random.Random(1)
    return [toy_trial(SPACE, index, SPACE.sample(rng)) for index in range(count)]


def error(trial: Trial) -> float:
    value = trial.outcome.metric("error")
    assert value is not None
    return value


def test_the_best_quarter_is_never_dropped() -> None:
    history = complete(500)
    window = Window(SPACE, (ERROR,), (), 40)
    window.learn(history)
    assert 20 <= len(window.kept) < 40
    assert window.values == 500
    kept = sorted(evidence.losses for evidence in window.kept if evidence.losses)
    assert kept[:10] == sorted((error(trial),) for trial in history)[:10]


def test_the_latest_are_kept_in_their_order() -> None:
    history = complete(110)
    window = Window(SPACE, (ERROR,), (), 40)
    window.learn(history)
    points = [trial.point for trial in history]
    places = [points.index(evidence.point) for evidence in window.kept]
    assert places == sorted(places)
    assert places[-10:] == list(range(100, 110))


def test_what_keeps_its_bounds_goes_before_what_does_not() -> None:
    history = complete(200)
    bound = Constraint("params", "<=", 1100.0)
    window = Window(SPACE, (ERROR,), (bound,), 40)
    window.learn(history)
    feasible = sorted(
        error(trial) for trial in history if bound.holds(trial.outcome.metric("params") or 0.0)
    )
    kept = [evidence.losses for evidence in window.kept if evidence.losses]
    assert all((value,) in kept for value in feasible[:10])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 300), max_size=6), st.integers(40, 90))
def test_pieces_make_the_same_window_as_the_whole(cuts: list[int], size: int) -> None:
    whole = Window(SPACE, (ERROR, PARAMS), (), size)
    whole.learn(HISTORY)
    pieces = Window(SPACE, (ERROR, PARAMS), (), size)
    for cut in [*sorted(cuts), len(HISTORY)]:
        pieces.learn(HISTORY[:cut])
    assert pieces.kept == whole.kept
    assert pieces.groups == whole.groups
    assert pieces.values == whole.values


def test_learning_tells_when_what_was_kept_is_gone() -> None:
    history = complete(45)
    window = Window(SPACE, (ERROR,), (), 40)
    assert window.learn(history[:39])
    assert not window.learn(history[:40])
    assert window.learn(history[:45])
    assert not window.learn(history[:30])


def test_at_most_nine_in_ten_are_without_values() -> None:
    sound = complete(60)
    stopped = [
        toy_trial(SPACE, trial.index, trial.point, Outcome(State.STOPPED)) for trial in sound
    ]
    window = Window(SPACE, (ERROR,), (), 200)
    window.learn([*stopped, sound[0], *stopped])
    assert [evidence.losses is None for evidence in window.kept] == [False] + [True] * 9


def test_groups_hold_what_is_always_active_together() -> None:
    window = Window(SPACE, (ERROR,), (), 200)
    window.learn(complete(50))
    cell = "stages.0.blocks.0.cell"
    assert window.groups[f"{cell}.leaky.decay"] == (f"{cell}.leaky.decay", f"{cell}.leaky.lags")
    assert window.groups[f"{cell}.window.size"] == (f"{cell}.window.size", f"{cell}.window.wrap")
    assert "training.lr" in window.groups["width"]
    assert cell in window.groups["width"]
