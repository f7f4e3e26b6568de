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
from archsearch.execute.failure import one_line
from archsearch.execute.inline import RUN_JOB
from archsearch.execute.job import Job
from archsearch.execute.plain import job_to_plain, outcome_from_plain
from archsearch.execute.process import cores
from archsearch.spec.trial import Outcome, State

PATIENCE = 10.0

ENVIRONMENT = {
    # small networks lose more to a second thread than they gain
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    # large tensors from memory that is already mapped: up to four times as fast on the CPU
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
    # sets of names come in the same order in every process
    "PYTHONHASHSEED": "0",
}


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
        self._submitted = 0
        self._start()

    def submit(self, job: Job) -> None:
        if self._control.closed:
            self._stop()
            self._start()
        self._submitted += 1
        self._jobs[self._submitted] = job
        self._control.send({"id": self._submitted, "job": job_to_plain(job)})

    def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
        deadline = None if timeout is None else time.monotonic() + timeout
        finished: list[tuple[Job, Outcome]] = []
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

    def close(self) -> None:
        self._jobs.clear()
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
            env=ENVIRONMENT | os.environ | {"PYTHONPATH": path},
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
        if not self._ready:
            raise ArchsearchError(f"workers cannot start {end}")
        message = f"the process that starts workers died {end}"
        lost = Outcome(State.CRASHED, message=message, lost=True)
        jobs, self._jobs = self._jobs, {}
        return [(job, lost) for job in jobs.values()]
