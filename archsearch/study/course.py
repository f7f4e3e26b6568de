"""How far a phase of a study is: what the driver keeps, and what those who watch it are told."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

from archsearch.execute.job import Job
from archsearch.spec.trial import Trial
from archsearch.store.records import Cost


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
    """What a watcher is told: how far a phase is, and which trial just began or ended.

    ``trials`` are all of the phase so far, to be read while the watcher is told and not later;
    ``lost`` counts the attempts lost since this driver began, ``cost`` is that of the whole study,
    ``news`` is what holds up its workers.
    """

    phase: str
    finished: int
    running: int
    total: int | None
    trial: Trial | None = None
    trials: Sequence[Trial] = ()
    workers: int = 1
    lost: int = 0
    cost: Cost = field(default_factory=Cost)
    news: str = ""


@dataclass
class Course:
    """A phase under way: its trials so far, and the current attempt of each that runs.

    ``full`` says why there is no room for another trial, ``stuck`` why there is none for what came
    of one, which then has no outcome yet.
    """

    phase: Phase
    trials: list[Trial]
    epochs: dict[int, int] = field(default_factory=dict)
    finished: int = 0
    ended: Ended | None = None
    full: str | None = None
    stuck: str | None = None


@dataclass
class Batch:
    """What the next commit writes: trials that have finished, and trials that begin."""

    finished: list[tuple[Trial, int, Job]] = field(default_factory=list)
    begun: list[tuple[Trial, Job]] = field(default_factory=list)
