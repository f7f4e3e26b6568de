"""The promise of a sampler as tests: subclass :class:`SamplerContract` and name the sampler."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import pytest

from archsearch.search.open import open_sampler
from archsearch.search.sampler import Sampler
from archsearch.spec.architecture import Layer
from archsearch.spec.settings import Constraint, Objective
from archsearch.spec.space import Space
from archsearch.spec.trial import Outcome, Point, State, Trial
from archsearch.testing.toy import example_space, random_history, toy_trial

Aims: TypeAlias = tuple[tuple[Objective, ...], tuple[Constraint, ...]]
Opened: TypeAlias = Callable[[], Sampler]

ERROR, SCORE = Objective("error", "min"), Objective("score", "max")
AIMS: dict[str, Aims] = {
    "one objective": ((SCORE,), ()),
    "two objectives": ((ERROR, Objective("params", "min")), ()),
    "a constraint": ((ERROR,), (Constraint("params", "<", 1500.0),)),
}


class SamplerContract:
    """Owed by every sampler: proposals in the space, and nothing remembered but the history.

    A subclass sets ``layer``. Each test runs with one objective, with two, and with a constraint.
    """

    layer: Layer

    @pytest.fixture
    def space(self) -> Space:
        return example_space()

    @pytest.fixture(params=list(AIMS))
    def fresh(self, space: Space, request: pytest.FixtureRequest) -> Opened:
        """Opens a new sampler, as a new process would."""
        objectives, constraints = AIMS[request.param]
        return lambda: open_sampler(self.layer, space, objectives, constraints, 7)

    def test_proposals_lie_in_the_space(self, space: Space, fresh: Opened) -> None:
        history = random_history(space, 60)
        sampler = fresh()
        for index in range(0, 60, 3):
            assert_in_space(space, sampler.propose(index, history[:index]))

    def test_the_same_history_gives_the_same_proposal(self, space: Space, fresh: Opened) -> None:
        history = random_history(space, 90)
        step_by_step = fresh()
        for index in range(0, 90, 5):
            told = step_by_step.propose(index, history[:index])
            assert told == fresh().propose(index, history[:index])

    def test_a_proposal_leaves_no_trace(self, space: Space, fresh: Opened) -> None:
        history = random_history(space, 40)
        sampler, other = fresh(), fresh()
        first = sampler.propose(40, history)
        for attempt in range(1, 4):
            other.propose(40, history, attempt)
        assert sampler.propose(40, history) == first
        assert other.propose(40, history) == first

    def test_a_shorter_history_is_learnt_anew(self, space: Space, fresh: Opened) -> None:
        history = random_history(space, 40)
        sampler = fresh()
        sampler.propose(40, history)
        assert sampler.propose(20, history[:20]) == fresh().propose(20, history[:20])

    def test_attempts_differ(self, space: Space, fresh: Opened) -> None:
        for history in ([], random_history(space, 40)):
            sampler = fresh()
            points = {sampler.propose(50, history, attempt) for attempt in range(8)}
            assert len(points) > 4

    def test_indices_differ(self, space: Space, fresh: Opened) -> None:
        history = random_history(space, 40)
        sampler = fresh()
        assert len({sampler.propose(index, history) for index in range(40, 48)}) > 4

    @pytest.mark.parametrize("state", [state for state in State if state is not State.COMPLETE])
    def test_a_history_without_values(self, space: Space, fresh: Opened, state: State) -> None:
        sampler = fresh()
        points = [trial.point for trial in random_history(space, 25)]
        history = [
            toy_trial(space, index, point, Outcome(state)) for index, point in enumerate(points)
        ]
        assert_in_space(space, sampler.propose(25, history))

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    def test_values_that_are_not_finite(self, space: Space, fresh: Opened, value: float) -> None:
        names = ("error", "score", "params")
        spoilt = Outcome(State.COMPLETE, tuple((name, value) for name in names))
        sound = random_history(space, 40)
        history = [
            toy_trial(space, trial.index, trial.point, spoilt) if trial.index % 2 else trial
            for trial in sound
        ]
        assert_in_space(space, fresh().propose(40, history))

    def test_points_outside_the_space_are_passed_over(self, space: Space, fresh: Opened) -> None:
        history = random_history(space, 30)
        strange = [
            Trial(30, "search", point, history[0].architecture, "0" * 16, 0, history[0].outcome)
            for point in ((), (("nowhere", 1),), (("width", 99),))
        ]
        assert_in_space(space, fresh().propose(33, [*history, *strange]))


def assert_in_space(space: Space, point: Point) -> None:
    """The point decides what is open, no more and no less, each within its domain."""
    assert space.contains(space.architecture(point))
    values: Sequence[tuple[str, int | float]] = space.decide(lambda path, _: dict(point)[path])
    assert values == point
