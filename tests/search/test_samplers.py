"""The samplers keep their contract, and the model is worth its cost."""

from __future__ import annotations

import statistics

from archsearch.search.bayesian import Bayesian
from archsearch.search.random import Random
from archsearch.search.sampler import Sampler
from archsearch.spec.architecture import Layer
from archsearch.spec.settings import Objective
from archsearch.spec.trial import Trial
from archsearch.testing.samplers import SamplerContract
from archsearch.testing.toy import example_space, toy_trial

ERROR = Objective("error", "min")


class TestRandom(SamplerContract):
    layer = Layer("random")


class TestBayesian(SamplerContract):
    layer = Layer("tpe")


class TestBayesianWithASmallWindow(SamplerContract):
    """The window is dropped several times within the histories of the contract."""

    layer = Layer.of("tpe", startup=5, window=40, candidates=8)


def best_error(sampler: type[Sampler], seed: int, trials: int = 60) -> float:
    space = example_space()
    opened = sampler(space, (ERROR,), (), seed)
    history: list[Trial] = []
    for index in range(trials):
        point = opened.propose(index, history[: max(0, index - 3)])
        history.append(toy_trial(space, index, point))
    return min(trial.outcome.metric("error") or 0.0 for trial in history)


def test_the_model_finds_better_than_chance() -> None:
    by_model = statistics.median(best_error(Bayesian, seed) for seed in range(5))
    by_chance = statistics.median(best_error(Random, seed) for seed in range(5))
    assert by_model < 0.5 * by_chance
