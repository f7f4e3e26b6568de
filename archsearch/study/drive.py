"""Keeps a backend busy with the trials of one phase and commits what comes of each."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from archsearch.execute.backend import Backend
from archsearch.execute.job import Job
from archsearch.spec.trial import Outcome, Trial
from archsearch.store.records import Cost
from archsearch.store.store import Store

LEASE_SECONDS = 30.0
MOST_ATTEMPTS = 3


@dataclass(frozen=True)
class Ended:
    """There is no further trial, and why."""

    reason: str


class Phase(ABC):
    """Says which trial comes next; what it says may depend on nothing but the trials given."""

    name: str
    total: int | None

    @abstractmethod
    def next(self, trials: Sequence[Trial]) -> Trial | Ended | None:
        """The trial with index ``len(trials)``; None while it needs outcomes still to come."""

    @abstractmethod
    def job(self, trial: Trial, trials: Sequence[Trial]) -> Job:
        """The job of a trial, the same whenever it is asked for."""


@dataclass(frozen=True)
class Progress:
    """What a watcher is told: how far a phase is, and which trial just began or ended."""

    phase: str
    finished: int
    running: int
    total: int | None
    trial: Trial | None = None


class Driver:
    """The only writer of a study: starts trials, hands out jobs, commits outcomes.

    A trial is committed as started before a worker sees it and as finished before anything
    depends on it, so that a crash at any moment loses no finished trial and repeats none.
    """

    def __init__(
        self,
        store: Store,
        study: int,
        backend: Backend,
        watch: Callable[[Progress], None],
    ) -> None:
        self.store, self.study = store, study
        self.backend, self.watch = backend, watch
        self.cost = store.ledger(study)
        self._active_before = store.active_seconds(study)
        self._began = self._renewed = time.monotonic()

    @property
    def active_seconds(self) -> float:
        """Wall-clock seconds that the study has been worked on, earlier drivers included."""
        return self._active_before + time.monotonic() - self._began

    def drive(self, phase: Phase) -> Ended:
        """Run the phase to its end; continues where a former driver stopped."""
        trials = self.store.history(self.study, phase.name)
        epochs: dict[int, int] = {}
        for trial in trials:
            if not trial.state.final:
                self._again(phase, trial, trials, epochs)
        self._tell(phase, trials, epochs)
        ended: Ended | None = None
        while True:
            while ended is None and len(epochs) < self.backend.workers:
                coming = phase.next(trials)
                if coming is None:
                    break
                if isinstance(coming, Ended):
                    ended = coming
                else:
                    self._begin(phase, coming, trials, epochs)
            if not epochs and ended is not None:
                return ended
            for job, outcome in self.backend.collect(timeout=1.0):
                trial = trials[job.trial]
                if outcome.lost and epochs[job.trial] < MOST_ATTEMPTS:
                    self._again(phase, trial, trials, epochs)
                else:
                    self._commit(phase, trial, outcome, trials, epochs)
            self._renew()

    def _begin(
        self, phase: Phase, trial: Trial, trials: list[Trial], epochs: dict[int, int]
    ) -> None:
        trials.append(trial)
        job = phase.job(trial, trials)
        epochs[trial.index] = self.store.start(self.study, trial, job.key)
        known = self.store.answer(job.key)
        if known is not None:
            costs = ("seconds", "cpu_seconds", "gpu_seconds")
            measured = tuple(pair for pair in known.timings if pair[0] not in costs)
            self._commit(phase, trial, replace(known, timings=measured), trials, epochs)
            return
        self._tell(phase, trials, epochs, trial)
        self.backend.submit(job)

    def _again(
        self, phase: Phase, trial: Trial, trials: list[Trial], epochs: dict[int, int]
    ) -> None:
        epoch = self.store.restart(self.study, trial)
        if epoch is None:
            stored = self.store.history(self.study, phase.name)
            trials[trial.index] = stored[trial.index]
            epochs.pop(trial.index, None)
            return
        epochs[trial.index] = epoch
        self.backend.submit(phase.job(trial, trials))

    def _commit(
        self,
        phase: Phase,
        trial: Trial,
        outcome: Outcome,
        trials: list[Trial],
        epochs: dict[int, int],
    ) -> None:
        self.store.finish(self.study, trial, epochs.pop(trial.index), outcome)
        trials[trial.index] = replace(trial, outcome=outcome)
        spent = dict(outcome.timings)
        self.cost = Cost(
            self.cost.cpu_seconds + spent.get("cpu_seconds", 0.0),
            self.cost.gpu_seconds + spent.get("gpu_seconds", 0.0),
        )
        self._tell(phase, trials, epochs, trials[trial.index])

    def _tell(
        self,
        phase: Phase,
        trials: Sequence[Trial],
        epochs: dict[int, int],
        trial: Trial | None = None,
    ) -> None:
        finished = len(trials) - len(epochs)
        self.watch(Progress(phase.name, finished, len(epochs), phase.total, trial))

    def _renew(self) -> None:
        if time.monotonic() - self._renewed > LEASE_SECONDS / 3:
            self.store.renew(self.study)
            self._renewed = time.monotonic()
