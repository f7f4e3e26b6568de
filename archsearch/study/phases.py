"""The phases of a study: the search proper, and fixed lists of candidates to be judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from archsearch.execute.job import Job
from archsearch.failpoints import failpoint
from archsearch.search.open import open_sampler
from archsearch.search.stopping import Stopping
from archsearch.search.unseen import Unseen
from archsearch.spec.architecture import Architecture, layers
from archsearch.spec.settings import DEPTH_AUC, derived_seed
from archsearch.spec.trial import Trial
from archsearch.study.course import Ended, Phase
from archsearch.study.drive import Driver
from archsearch.study.finals import Candidate
from archsearch.study.plan import Plan
from archsearch.study.prefix import Prefix

# somebody's own Ray Tune Tuner, whose scheduler stops and changes trials as it likes
STEERED = "tuner"


class SearchPhase(Phase):
    """Trial k is a pure function of the seed, k and the outcomes of trials 0 ... k - lag."""

    name = "search"

    def __init__(self, plan: Plan, driver: Driver) -> None:
        self.plan, self.driver = plan, driver
        self.total = plan.search.budget.trials
        search = plan.search
        sampler = open_sampler(
            search.sampler, plan.space, search.objectives, search.constraints, search.seed
        )
        self._unseen = Unseen(sampler, plan.space, search.seed)
        self._stopping = Stopping(search.stopping, search.objectives)
        self._seen: set[str] = set()
        self._counted = self._final = 0

    def next(self, trials: Sequence[Trial]) -> Trial | Ended | None:
        search, index = self.plan.search, len(trials)
        if reason := self._spent(index):
            return Ended(reason)
        known = self._known(index, trials)
        if not self._all_final(known):
            return None
        self._seen.update(trial.digest for trial in trials[self._counted :])
        self._counted = index
        failpoint("study.propose")
        found = self._unseen.propose(index, known, self._seen)
        if found is None:
            return Ended(exhausted(index))
        point, architecture = found
        digest = architecture.digest
        seed = derived_seed(search.seed, digest)
        return Trial(index, self.name, point, architecture, digest, seed)

    def job(self, trial: Trial, trials: Sequence[Trial]) -> Job:
        search, execution = self.plan.search, self.plan.execution
        return Job(
            trial=trial.index,
            title=f"trial {trial.index} · {trial.architecture.title}",
            task=self.plan.task,
            data=self.plan.data,
            architecture=trial.architecture,
            seed=trial.seed,
            objectives=search.objectives,
            along_depth=search.asks(DEPTH_AUC),
            limits=self._stopping.limits(self._known(trial.index, trials)),
            steered=self.plan.name if execution.backend == STEERED else None,
            timeout=execution.timeout,
            plugins=self.plan.code_of(trial.architecture),
            **execution.needs(cells_of(trial.architecture)),
        )

    def _known(self, index: int, trials: Sequence[Trial]) -> Sequence[Trial]:
        return Prefix(trials, index - self.plan.search.lag + 1)

    def _all_final(self, known: Sequence[Trial]) -> bool:
        # what is final stays so, and is not looked at again
        while self._final < len(known) and known[self._final].state.final:
            self._final += 1
        return self._final >= len(known)

    def _spent(self, index: int) -> str | None:
        budget, driver = self.plan.search.budget, self.driver
        if budget.trials is not None and index >= budget.trials:
            return "the one trial is done" if index == 1 else f"all {index} trials are done"
        if budget.time is not None and driver.active_seconds >= budget.time:
            return f"the time budget of {budget.time:g} s is spent"
        cost = driver.cost
        for unit, spent, most in (
            ("cpu", cost.cpu_seconds, budget.cpu_seconds),
            ("gpu", cost.gpu_seconds, budget.gpu_seconds),
        ):
            if most is not None and spent >= most:
                return f"the budget of {most:g} {unit}-seconds is spent"
        return None


class ListPhase(Phase):
    """Candidates that are known beforehand, each trained once.

    ``stored`` are the trials of the phase so far. They may be of other candidates, if the study was
    extended or is confirmed in another way than before; who is not among them comes after them.
    """

    def __init__(
        self,
        name: str,
        plan: Plan,
        candidates: Sequence[Candidate],
        weights: Path | None = None,
        stored: Sequence[Trial] = (),
    ) -> None:
        self.name, self.plan, self.weights = name, plan, weights
        self._before = len(stored)
        self._missing = missing(candidates, stored)
        self.total = self._before + len(self._missing)

    def next(self, trials: Sequence[Trial]) -> Trial | Ended | None:
        index = len(trials)
        place = index - self._before
        if place >= len(self._missing):
            return Ended("all candidates are judged")
        wanted = self._missing[place]
        digest = wanted.architecture.digest
        return Trial(
            index, self.name, (), wanted.architecture, digest, wanted.seed, role=wanted.role
        )

    def job(self, trial: Trial, trials: Sequence[Trial]) -> Job:
        execution = self.plan.execution
        keep = None
        if self.weights is not None:
            keep = str(self.weights / f"{trial.digest}-{trial.seed}.safetensors")
        return Job(
            trial=trial.index,
            title=f"{trial.role} · {trial.architecture.title}",
            task=self.plan.task,
            data=self.plan.data,
            architecture=trial.architecture,
            seed=trial.seed,
            protocol="search" if self.name == "tune" else "confirm",
            objectives=self.plan.search.objectives,
            along_depth=self.plan.search.asks(DEPTH_AUC),
            timeout=execution.timeout,
            plugins=self.plan.code_of(trial.architecture),
            keep=keep,
            **execution.needs(cells_of(trial.architecture)),
        )


def exhausted(count: int) -> str:
    """Why a search ends that has tried the whole of a finite space, so many architectures."""
    tried = "its one architecture was" if count == 1 else f"all {count} architectures were"
    return f"the space is exhausted: {tried} tried"


def missing(candidates: Sequence[Candidate], stored: Sequence[Trial]) -> list[Candidate]:
    """The candidates that no stored trial is of, in their order; equal ones count as often."""
    there = Counter((trial.role, trial.digest, trial.seed) for trial in stored)
    found = []
    for candidate in candidates:
        if there[candidate.key] > 0:
            there[candidate.key] -= 1
        else:
            found.append(candidate)
    return found


def cells_of(architecture: Architecture) -> set[str]:
    return {layer.name for kind, layer in layers(architecture) if kind == "cell"}
