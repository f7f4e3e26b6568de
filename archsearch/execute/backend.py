"""Where jobs run: the one contract that every backend keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from archsearch.execute.job import Job
from archsearch.spec.trial import Outcome


class Backend(ABC):
    """Runs jobs and hands back one outcome for each, in the order in which they finish.

    Owed: every submitted job comes back exactly once from :meth:`collect`, whatever it does
    (raises, hangs past its timeout, exhausts its memory, kills its process), until
    :meth:`close`, which ends all work at once and leaves no process behind.
    """

    workers: int

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Start the job as soon as a worker is free; returns at once or after running it."""

    @abstractmethod
    def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
        """Finished jobs; waits for the first at most ``timeout`` seconds, [] when none came."""

    def news(self) -> list[str]:
        """What a person should know of the workers since it was last asked, a line each."""
        return []

    def stop(self, seconds: float) -> list[tuple[Job, Outcome]]:
        """Close, but give what runs so many seconds to end or to write a checkpoint first.

        Nothing new is begun. Returns the outcomes that came meanwhile; a job that was cut short is
        among them with an outcome marked ``lost``, or not at all.
        """
        self.close()
        return []

    @abstractmethod
    def close(self) -> None:
        """Stop all workers now."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
