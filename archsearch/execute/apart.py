"""A backend whose work is done by another process, spoken to in JSON over a channel.

A worker runs plugins, so nothing that comes from it is unpickled. The driver imports no torch and
no Ray, and is not imported again by its workers, so a script needs no
``if __name__ == "__main__"``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from archsearch.errors import ArchsearchError, InputError, TryAgainError
from archsearch.execute.backend import Backend
from archsearch.execute.channel import Channel
from archsearch.execute.death import last_words
from archsearch.execute.environment import worker_environment
from archsearch.execute.failure import one_line
from archsearch.execute.inline import RUN_JOB
from archsearch.execute.job import Job
from archsearch.execute.plain import job_to_plain, outcome_from_plain
from archsearch.spec.trial import Outcome

PATIENCE = 10.0


class ApartBackend(Backend):
    """Starts ``python -m module SOCKET RUN WORKERS ...`` and hands it the jobs.

    The process takes ``{"id", "job"}`` and ``{"stop": seconds}``, one on a cluster also
    ``{"gauges": [...]}``. It says ``{"ready": true}`` once, then ``{"id", "outcome"}`` for every
    job, ``{"workers": n}`` when their number changes, ``{"news": line}`` of what holds it up, and
    ``{"error": line, "code": exit code}`` or ``{"broken": line}`` when it cannot go on. ``run``
    names the function, ``module:name``, that turns a job into an outcome.
    """

    module: str

    def __init__(self, workers: int, run: str = RUN_JOB) -> None:
        self.workers = workers
        self._run = run
        self._jobs: dict[int, Job] = {}
        self._lost: list[tuple[Job, Outcome]] = []
        self._submitted = 0
        self._news: list[str] = []
        self._start()

    @abstractmethod
    def abandoned(self, code: int, message: str) -> Outcome:
        """The outcome of each job that the process had when it died, or raises for all of them.

        ``code`` is as from ``subprocess``, ``message`` how it died and what it last said.
        """

    def stillborn(self, message: str) -> ArchsearchError:
        """What is raised when it ended before it was ready, without having said why."""
        return ArchsearchError(f"workers cannot start {message}")

    def arguments(self) -> list[str]:
        """What the process is told besides its socket, the function and the number of workers."""
        return []

    def environment(self) -> Mapping[str, str]:
        return worker_environment(os.environ)

    def submit(self, job: Job) -> None:
        if self._control.closed:
            # what the dead process had is told by the next collect
            self._lost += self._abandon() if self._jobs else []
            self._stop()
            self._start()
        self._submitted += 1
        self._jobs[self._submitted] = job
        self._control.send({"id": self._submitted, "job": job_to_plain(job)})

    def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
        deadline = None if timeout is None else time.monotonic() + timeout
        finished, self._lost = self._lost, []
        while self._jobs and not finished:
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            for message in self._control.receive(left):
                self._hear(message, finished)
            if self._control.closed:
                finished += self._abandon()
            elif left == 0:
                break
        return finished

    def news(self) -> list[str]:
        told, self._news = self._news, []
        return told

    def stop(self, seconds: float) -> list[tuple[Job, Outcome]]:
        finished: list[tuple[Job, Outcome]] = []
        if self._ready and not self._control.closed:
            deadline = time.monotonic() + seconds
            self._control.send({"stop": seconds})
            while self._jobs and (left := deadline - time.monotonic()) > 0:
                finished += self.collect(left)
        self.close()
        return finished

    def close(self) -> None:
        self._jobs.clear()
        self._lost.clear()
        self._stop()

    def _hear(self, message: Mapping[str, Any], finished: list[tuple[Job, Outcome]]) -> None:
        if "broken" in message:
            raise ArchsearchError(f"workers cannot start: {message['broken']}")
        if "error" in message:
            kinds = {kind.exit_code: kind for kind in (InputError, TryAgainError)}
            raise kinds.get(message["code"], ArchsearchError)(message["error"])
        self._ready = True
        self.workers = message.get("workers", self.workers)
        if "news" in message:
            self._news.append(message["news"])
        if "outcome" in message:
            job = self._jobs.pop(message["id"])
            finished.append((job, outcome_from_plain(message["outcome"])))

    def _start(self) -> None:
        self._control, theirs = Channel.pair()
        self._ready = False
        # read when the process has died, closed by _stop
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        command = [sys.executable, "-P", "-m", self.module]
        self._supervisor = subprocess.Popen(
            [*command, str(theirs.fileno()), self._run, str(self.workers), *self.arguments()],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[theirs.fileno()],
            env={**self.environment(), "PYTHONPATH": path},
            start_new_session=True,
        )
        theirs.close()

    def _stop(self) -> None:
        """End the process, which ends its workers; it cannot have any before it is ready."""
        self._ready = self._ready or bool(self._control.receive())
        self._control.close()
        try:
            self._supervisor.wait(PATIENCE if self._ready else 0)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()
            self._supervisor.wait()
        self._log.close()

    def _abandon(self) -> list[tuple[Job, Outcome]]:
        """The process is dead, and so is what it had; the next job starts another."""
        code = self._supervisor.wait()
        self._log.seek(0)
        end = one_line(f"(exit code {code}){last_words(self._log.read())}")
        # killed by a signal while it started, it had no fault of its own
        if not self._ready and code >= 0:
            raise self.stillborn(end)
        lost = self.abandoned(code, end)
        jobs, self._jobs = self._jobs, {}
        return [(job, lost) for job in jobs.values()]
