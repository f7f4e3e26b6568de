"""Runs jobs on this machine in processes that stay warm from one job to the next.

Driver, supervisor and workers speak JSON: a worker runs plugins, so nothing that comes from it is
unpickled. The driver imports no torch and is not imported again by its workers, so a script needs
no ``if __name__ == "__main__"``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from archsearch.errors import ArchsearchError
from archsearch.execute.backend import Backend
from archsearch.execute.channel import Channel
from archsearch.execute.death import last_words
from archsearch.execute.environment import worker_environment
from archsearch.execute.failure import one_line
from archsearch.execute.inline import RUN_JOB
from archsearch.execute.job import Job
from archsearch.execute.plain import job_to_plain, outcome_from_plain
from archsearch.execute.process import cores
from archsearch.spec.trial import Outcome, State

PATIENCE = 10.0


class LocalBackend(Backend):
    """``workers`` processes, by default one for each core.

    Every job is held to its ``timeout`` (seconds of wall clock, TIMEOUT) and ``memory`` (bytes on
    top of what an idle worker has, OOM); a worker that dies gives CRASHED with the signal and its
    last words, and is replaced. ``run`` names the function, ``module:name``, that turns a job into
    an outcome.
    """

    def __init__(self, workers: int | None = None, run: str = RUN_JOB) -> None:
        self.workers = workers or cores()
        self._run = run
        self._jobs: dict[int, Job] = {}
        self._lost: list[tuple[Job, Outcome]] = []
        self._submitted = 0
        self._start()

    def submit(self, job: Job) -> None:
        if self._control.closed:
            # what the dead supervisor had is told by the next collect
            self._lost += self._abandoned() if self._jobs else []
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
                if "broken" in message:
                    raise ArchsearchError(f"workers cannot start: {message['broken']}")
                self._ready = True
                if "outcome" in message:
                    outcome = outcome_from_plain(message["outcome"])
                    finished.append((self._jobs.pop(message["id"]), outcome))
            if self._control.closed:
                finished += self._abandoned()
            elif left == 0:
                break
        return finished

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

    def _start(self) -> None:
        self._control, theirs = Channel.pair()
        self._ready = False
        # read when the supervisor has died, closed by _stop
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        command = [sys.executable, "-P", "-m", "archsearch.execute.supervisor"]
        self._supervisor = subprocess.Popen(
            [*command, str(theirs.fileno()), self._run, str(self.workers)],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[theirs.fileno()],
            env=worker_environment(os.environ) | {"PYTHONPATH": path},
            start_new_session=True,
        )
        theirs.close()

    def _stop(self) -> None:
        """End the supervisor, which ends its workers; it cannot have any before it is ready."""
        self._ready = self._ready or bool(self._control.receive())
        self._control.close()
        try:
            self._supervisor.wait(PATIENCE if self._ready else 0)
        except subprocess.TimeoutExpired:
            self._supervisor.kill()
            self._supervisor.wait()
        self._log.close()

    def _abandoned(self) -> list[tuple[Job, Outcome]]:
        """The supervisor is dead: what it had is lost, and the next job starts another."""
        code = self._supervisor.wait()
        self._log.seek(0)
        end = one_line(f"(exit code {code}){last_words(self._log.read())}")
        # killed by a signal while it started, it had no fault of its own
        if not self._ready and code >= 0:
            raise ArchsearchError(f"workers cannot start {end}")
        message = f"the process that starts workers died {end}"
        lost = Outcome(State.CRASHED, message=message, lost=True)
        jobs, self._jobs = self._jobs, {}
        return [(job, lost) for job in jobs.values()]
