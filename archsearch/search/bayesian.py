"""Tree-structured Parzen estimator: Optuna's model, fitted to a bounded window of the history."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

from archsearch.search.sampler import Sampler
from archsearch.search.window import Evidence, Window
from archsearch.spec.domains import Choice, Domain, FloatRange, IntRange
from archsearch.spec.settings import Constraint, Objective, derived_seed
from archsearch.spec.space import Space
from archsearch.spec.trial import Point, Trial


class Bayesian(Sampler):
    """Proposes what is likely among the good trials and unlikely among the others.

    Until ``startup`` trials have a value, proposals are random. From then on the model is fitted
    to at most ``window`` trials (:class:`archsearch.search.window.Window`), which bounds its cost
    however long the study. Decisions that are always active together are drawn jointly. One
    objective: Bergstra et al. 2011; several: Ozaki et al. 2022; constraints: Watanabe & Hutter
    2022, each excess as a share of its bound.
    """

    def __init__(
        self,
        space: Space,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint],
        seed: int,
        *,
        startup: int = 10,
        window: int = 200,
        candidates: int = 24,
    ) -> None:
        super().__init__(space, objectives, constraints, seed)
        self._startup = startup
        self._candidates = candidates
        self._limit = window
        self._window = Window(space, self.objectives, self.constraints, window)
        self._domains = space.domains()
        self._axes = {path: _axis(domain) for path, domain in self._domains.items()}
        self._model: optuna.Study | None = None
        self._fitted = 0

    def propose(self, index: int, history: Sequence[Trial], attempt: int = 0) -> Point:
        seed = derived_seed(self.seed, index, attempt)
        if not self._window.learn(history):
            self._model = None
        if self._window.values < self._startup:
            return self.space.sample(random.Random(seed))
        model = self._fit()
        model.sampler = Grouped(self._window.groups, self._axes, self._candidates, seed % 2**32)
        asked = model.ask()

        def choose(path: str, domain: Domain) -> int | float:
            return _value(domain, _suggest(asked, path, self._axes[path]))

        point = self.space.decide(choose)
        model.tell(asked, state=TrialState.FAIL)
        return point

    def _fit(self) -> optuna.Study:
        """The model with all kept evidence told; it is begun anew when it is full of proposals."""
        if self._model is None or len(self._model.get_trials(deepcopy=False)) > 3 * self._limit:
            self._model = _new_model(len(self.objectives))
            self._fitted = 0
        for evidence in self._window.kept[self._fitted :]:
            self._model.add_trial(self._told(evidence))
        self._fitted = len(self._window.kept)
        return self._model

    def _told(self, evidence: Evidence) -> FrozenTrial:
        missed = enumerate(evidence.violations or ())
        return optuna.trial.create_trial(
            state=TrialState.PRUNED if evidence.losses is None else TrialState.COMPLETE,
            values=evidence.losses,
            params={path: _parameter(self._domains[path], value) for path, value in evidence.point},
            distributions={path: self._axes[path] for path, _ in evidence.point},
            constraints={str(position): value for position, value in missed},
        )


class Grouped(TPESampler):
    """Optuna's sampler, drawing each group of decisions jointly when its first one is asked for.

    Optuna's own ``group`` option draws the groups of every branch, taken or not; drawing only
    those that a proposal reaches takes a third of the time in a space of many branches.
    """

    def __init__(
        self,
        groups: Mapping[str, tuple[str, ...]],
        axes: Mapping[str, BaseDistribution],
        candidates: int,
        seed: int,
    ) -> None:
        super().__init__(
            n_startup_trials=0,
            n_ei_candidates=candidates,
            seed=seed,
            multivariate=True,
            constant_liar=False,
        )
        self._groups = groups
        self._axes = axes
        self._drawn: dict[str, Any] = {}

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        del study, trial
        return {}

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        del param_distribution
        if param_name not in self._drawn:
            group = self._groups.get(param_name, (param_name,))
            axes = {path: self._axes[path] for path in group if not self._axes[path].single()}
            self._drawn.update(self.sample_relative(study, trial, axes))
        return self._drawn[param_name]


def _new_model(objectives: int) -> optuna.Study:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        return optuna.create_study(directions=["minimize"] * objectives)
    finally:
        optuna.logging.set_verbosity(level)


def _axis(domain: Domain) -> BaseDistribution:
    """What Optuna models for a domain.

    A grid of numbers is modelled by its positions, so that a proposal is exactly one of them.
    """
    match domain:
        case Choice():
            return CategoricalDistribution(tuple(range(domain.size)))
        case IntRange(log=True):
            return IntDistribution(domain.low, domain.high, log=True)
        case FloatRange(step=None):
            return FloatDistribution(domain.low, domain.high, log=domain.log)
        case _:
            return IntDistribution(0, int(domain.size) - 1)


def _suggest(trial: optuna.Trial, path: str, axis: BaseDistribution) -> int | float:
    match axis:
        case CategoricalDistribution():
            return int(trial.suggest_categorical(path, axis.choices))  # type: ignore[arg-type]
        case IntDistribution():
            return trial.suggest_int(path, axis.low, axis.high, log=axis.log)
        case FloatDistribution():
            return trial.suggest_float(path, axis.low, axis.high, log=axis.log)
    raise TypeError(f"{path}: no axis is a {type(axis).__name__}")


def _step(domain: Domain) -> int | float | None:
    """The step of a grid that is modelled by its positions; None where values stand themselves."""
    return None if isinstance(domain, Choice) or domain.log else domain.step


def _value(domain: Domain, parameter: int | float) -> int | float:
    """The value of the domain that stands at ``parameter`` of its axis."""
    step = _step(domain)
    if step is None or isinstance(domain, Choice):
        return parameter
    return min(domain.low + step * parameter, domain.high)


def _parameter(domain: Domain, value: int | float) -> int | float:
    """The inverse of :func:`_value`."""
    step = _step(domain)
    if step is None or isinstance(domain, Choice):
        return value
    return round((value - domain.low) / step)
