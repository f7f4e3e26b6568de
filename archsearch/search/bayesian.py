"""Tree-structured Parzen estimator: Optuna's model, fitted to a bounded window of the history."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import TPESampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from archsearch.search.sampler import Sampler
from archsearch.search.window import Evidence, Window
from archsearch.spec.domains import Choice, Domain, FloatRange, IntRange
from archsearch.spec.settings import Constraint, Objective, derived_seed
from archsearch.spec.space import Space
from archsearch.spec.trial import Point, Trial

MODEL = "model"


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
        self._window = Window(space, self.objectives, self.constraints, window)
        self._domains = space.domains()
        self._axes = {path: _axis(domain) for path, domain in self._domains.items()}
        self._single = {path: _only(axis) for path, axis in self._axes.items() if axis.single()}
        self._storage = InMemoryStorage()
        self._model: optuna.Study | None = None
        self._asking = optuna.trial.create_trial(state=TrialState.RUNNING)
        self._fitted = 0

    def propose(self, index: int, history: Sequence[Trial], attempt: int = 0) -> Point:
        seed = derived_seed(self.seed, index, attempt)
        if not self._window.learn(history):
            self._model, self._fitted = None, 0
        if self._window.values < self._startup:
            return self.space.sample(random.Random(seed))
        self._fit()
        draw = self._draws(seed)
        return self.space.decide(lambda path, domain: _value(domain, draw(path)))

    def _fit(self) -> None:
        """Tell the model all kept evidence."""
        if self._model is None:
            self._storage = InMemoryStorage()
            self._model = _new_model(self._storage, len(self.objectives))
        for evidence in self._window.kept[self._fitted :]:
            self._model.add_trial(self._told(evidence))
        self._fitted = len(self._window.kept)

    def _draws(self, seed: int) -> Callable[[str], int | float]:
        """What draws the parameter of a decision, and with it those of its whole group.

        Only the groups that a proposal reaches cost time. The sampler is asked directly: Optuna's
        own way, a trial in its storage for every proposal, takes longer than the model.
        """
        sampler = TPESampler(
            n_startup_trials=0,
            n_ei_candidates=self._candidates,
            seed=seed % 2**32,
            multivariate=True,
            constant_liar=False,
        )
        # a study that is not asked keeps to the trials it read first; a new one reads them all
        model = optuna.load_study(study_name=MODEL, storage=self._storage, sampler=sampler)
        drawn: dict[str, int | float] = {}

        def draw(path: str) -> int | float:
            if path not in drawn:
                group = self._window.groups.get(path, (path,))
                drawn.update({name: self._single[name] for name in group if name in self._single})
                axes = {name: self._axes[name] for name in group if name not in self._single}
                drawn.update(sampler.sample_relative(model, self._asking, axes))
            return drawn[path]

        return draw

    def _told(self, evidence: Evidence) -> FrozenTrial:
        missed = enumerate(evidence.violations or ())
        return optuna.trial.create_trial(
            state=TrialState.PRUNED if evidence.losses is None else TrialState.COMPLETE,
            values=evidence.losses,
            params={path: _parameter(self._domains[path], value) for path, value in evidence.point},
            distributions={path: self._axes[path] for path, _ in evidence.point},
            constraints={str(position): value for position, value in missed},
        )


def _new_model(storage: InMemoryStorage, objectives: int) -> optuna.Study:
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        directions = [StudyDirection.MINIMIZE] * objectives
        return optuna.create_study(study_name=MODEL, storage=storage, directions=directions)
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


def _only(axis: BaseDistribution) -> int | float:
    """The parameter of an axis that has but one."""
    match axis:
        case IntDistribution() | FloatDistribution():
            return axis.low
        case _:
            return 0


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
