"""Where jobs wait to be taken and outcomes to be fetched, between a driver and another's loop."""

from __future__ import annotations

import queue
from abc import ABC, abstractmethod

from archsearch.errors import TryAgainError
from archsearch.execute.backend import Backend
from archsearch.execute.job import Job
from archsearch.spec.trial import Outcome


class NoMore(Exception):
    """The driver is gone, or wants nothing more to be begun."""


class NobodyThere(TryAgainError):
    """Those who took the jobs have left."""


class Exchange(ABC):
    """Jobs by number one way, outcomes the other.

    Tune writes its experiments down as pickles. Of an exchange there is nothing to write: one that
    is read back is closed for good.
    """

    def __reduce__(self) -> tuple[type[Exchange], tuple[()]]:
        return Closed, ()

    def __deepcopy__(self, known: dict[int, object]) -> Exchange:
        return self

    @abstractmethod
    def take(self, seconds: float) -> tuple[int, Job] | None:
        """The next job; waits for it so long. Raises NoMore when none will come."""

    @abstractmethod
    def give(self, number: int, outcome: Outcome) -> None:
        """What came of a job."""


class Closed(Exchange):
    """No jobs, and nobody to hear of outcomes."""

    def take(self, seconds: float) -> tuple[int, Job] | None:
        raise NoMore

    def give(self, number: int, outcome: Outcome) -> None:
        return


class Counter(Exchange, Backend):
    """Both sides in one process: a backend for the thread of a driver, jobs for the others.

    ``workers`` trials at most are under way at once.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._jobs: queue.Queue[tuple[int, Job] | None] = queue.Queue()
        self._outcomes: queue.Queue[tuple[Job, Outcome]] = queue.Queue()
        self._under_way: dict[int, Job] = {}
        self._submitted = 0
        self._closed = False

    def submit(self, job: Job) -> None:
        self._submitted += 1
        self._under_way[self._submitted] = job
        self._jobs.put((self._submitted, job))

    def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
        if not self._under_way and self._outcomes.empty():
            return []
        try:
            found = [self._outcomes.get(not self._closed, timeout)]
        except queue.Empty:
            if self._closed:
                raise NobodyThere("the Tuner ended first; running it again continues") from None
            return []
        while not self._outcomes.empty():
            found.append(self._outcomes.get())
        return found

    def close(self) -> None:
        self._closed = True
        self._jobs.put(None)

    def take(self, seconds: float) -> tuple[int, Job] | None:
        if self._closed:
            raise NoMore
        try:
            found = self._jobs.get(block=seconds > 0, timeout=seconds)
        except queue.Empty:
            return None
        if found is None:
            raise NoMore
        return found

    def give(self, number: int, outcome: Outcome) -> None:
        job = self._under_way.pop(number, None)
        if job is not None:
            self._outcomes.put((job, outcome))
