"""Runs jobs one after the other in the driver's own process: for debugging and for tests."""

from __future__ import annotations

import pkgutil
from collections import deque

from archsearch.execute.backend import Backend
from archsearch.execute.failure import failed
from archsearch.execute.job import Job
from archsearch.spec.trial import Outcome

RUN_JOB = "archsearch.execute.run_job:run_job"


class InlineBackend(Backend):
    """One job per :meth:`collect`, with a debugger's reach into it.

    There is no wall-clock or memory limit here, and a job that kills its process kills the driver.
    ``run`` names the function, ``module:name``, that turns a job into an outcome.
    """

    workers = 1

    def __init__(self, run: str = RUN_JOB) -> None:
        self._run = run
        self._waiting: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        self._waiting.append(job)

    def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
        if not self._waiting:
            return []
        job = self._waiting.popleft()
        try:
            outcome = pkgutil.resolve_name(self._run)(job)
        except (Exception, SystemExit) as error:
            outcome = failed(error)
        return [(job, outcome)]

    def close(self) -> None:
        self._waiting.clear()
