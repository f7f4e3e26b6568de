"""What the model proposes is exactly a point of the space, in any process, in silence."""

from __future__ import annotations

import os
import subprocess
import sys

import optuna
import pytest

from archsearch.errors import SpaceError
from archsearch.search.bayesian import Bayesian
from archsearch.search.open import open_sampler
from archsearch.spec.architecture import Architecture, Layer
from archsearch.spec.catalog import Catalog
from archsearch.spec.domains import FloatRange, IntRange
from archsearch.spec.settings import Constraint, Objective
from archsearch.spec.space import Space
from archsearch.spec.tree import Range, Record
from archsearch.spec.trial import Outcome, State, Trial
from archsearch.testing.toy import example_space, random_history, toy_trial

ERROR = Objective("error", "min")

DOMAINS = [
    IntRange(3, 3),
    IntRange(-7, 50, step=3),
    IntRange(1, 1000, log=True),
    FloatRange(-1.0, 1.0),
    FloatRange(2.0, 2.0),
    FloatRange(0.0, 1.0, step=0.3),
    FloatRange(0.1, 0.7, step=0.1),
    FloatRange(1e-5, 10.0, log=True),
]


def line(domain: IntRange | FloatRange) -> Space:
    """A space of one number."""
    fields = (("width", Range(domain)),)
    return Space(Record(lambda width: Architecture(width, ()), fields), Catalog())


@pytest.mark.parametrize("domain", DOMAINS, ids=repr)
def test_every_domain_is_proposed_from_and_approaches_the_best(
    domain: IntRange | FloatRange,
) -> None:
    space = line(domain)
    sampler = Bayesian(space, (ERROR,), (), 3, startup=5)
    values: list[int | float] = []
    history: list[Trial] = []
    goal = domain.low + 0.8 * (domain.high - domain.low)
    for index in range(40):
        point = sampler.propose(index, history)
        ((_, value),) = point
        assert domain.contains(value)
        values.append(value)
        outcome = Outcome(State.COMPLETE, (("error", abs(value - goal)),))
        history.append(Trial(index, "search", point, Architecture(8, ()), "", 0, outcome))
    span = domain.high - domain.low
    assert min(abs(value - goal) for value in values) <= max(0.1 * span, (domain.step or 0) / 2)


def test_grid_values_are_those_that_random_draws_give() -> None:
    domain = FloatRange(0.0, 1.0, step=0.1)
    space = line(domain)
    grid = {min(domain.low + domain.step * place, domain.high) for place in range(11)}
    sampler = Bayesian(space, (ERROR,), (), 0, startup=1)
    seen = set()
    history: list[Trial] = []
    for index in range(30):
        point = sampler.propose(index, history)
        seen.add(point[0][1])
        outcome = Outcome(State.COMPLETE, (("error", 0.5),))
        history.append(Trial(index, "search", point, Architecture(8, ()), "", 0, outcome))
    assert seen <= grid
    assert len(seen) > 5


def test_constraints_draw_proposals_to_where_they_hold() -> None:
    space = example_space()
    bound = Constraint("params", "<=", 300.0)

    def holding(constraints: tuple[Constraint, ...]) -> int:
        sampler = Bayesian(space, (ERROR,), constraints, 5)
        history: list[Trial] = []
        for index in range(60):
            history.append(toy_trial(space, index, sampler.propose(index, history)))
        return sum(bound.holds(trial.outcome.metric("params") or 0.0) for trial in history[20:])

    assert holding((bound,)) > 2 * holding(())


def test_trials_that_diverge_are_learnt_from() -> None:
    space = line(FloatRange(0.0, 1.0))

    def in_the_bad_half(state: State) -> int:
        sampler = Bayesian(space, (ERROR,), (), 1)
        history: list[Trial] = []
        for index in range(60):
            point = sampler.propose(index, history)
            sound = Outcome(State.COMPLETE, (("error", 1.0 - float(point[0][1])),))
            outcome = sound if point[0][1] < 0.5 else Outcome(state)
            history.append(Trial(index, "search", point, Architecture(8, ()), "", 0, outcome))
        return sum(trial.state is state for trial in history[20:])

    assert in_the_bad_half(State.DIVERGED) < in_the_bad_half(State.CRASHED)


PROPOSE = """
from archsearch.search.bayesian import Bayesian
from archsearch.spec.settings import Objective
from archsearch.testing.toy import example_space, random_history
space = example_space()
sampler = Bayesian(space, (Objective("error", "min"), Objective("params", "min")), (), 11)
print(sampler.propose(50, random_history(space, 50)))
"""


def test_other_processes_propose_the_same_without_a_word() -> None:
    told = set()
    for hash_seed in ("1", "2"):
        run = subprocess.run(
            [sys.executable, "-W", "error", "-c", PROPOSE],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert run.stderr == ""
        told.add(run.stdout)
    assert len(told) == 1


def test_the_verbosity_of_optuna_is_left_as_it_was() -> None:
    optuna.logging.set_verbosity(optuna.logging.INFO)
    space = example_space()
    sampler = Bayesian(space, (ERROR,), (), 0)
    sampler.propose(40, random_history(space, 40))
    assert optuna.logging.get_verbosity() == optuna.logging.INFO


def test_options_are_checked_and_named() -> None:
    space = example_space()
    with pytest.raises(SpaceError, match="did you mean 'startup'"):
        open_sampler(Layer.of("tpe", start=3), space, (ERROR,), (), 0)
    with pytest.raises(SpaceError, match="from 40 to 5000"):
        open_sampler(Layer.of("tpe", window=10), space, (ERROR,), (), 0)
    with pytest.raises(SpaceError, match="expected a sampler"):
        open_sampler(Layer("simplex"), space, (ERROR,), (), 0)
