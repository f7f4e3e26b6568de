"""What every process of a study says it did, in the order in which it happened: one file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from archsearch.errors import LockedError, StateError
from archsearch.execute.backend import Backend
from archsearch.execute.job import Job
from archsearch.spec.trial import Metrics, Outcome, Trial
from archsearch.store.database import Database
from archsearch.store.store import Store

T = TypeVar("T")
Line = dict[str, Any]


class Journal:
    """Lines in order, because each is one write to the end of the file.

    A kill may cut a write short at the end of a page, so each begins with a line feed too: what
    was cut harms no line but its own.
    """

    def __init__(self, path: str | Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._pid = os.getpid()

    def note(self, what: str, **facts: Any) -> None:
        line = {"what": what, "pid": self._pid, **facts}
        os.write(self._file, b"\n" + json.dumps(line).encode() + b"\n")

    def __del__(self) -> None:
        os.close(self._file)


def read(path: Path) -> Iterator[Line]:
    yield from parsed(path.read_bytes().split(b"\n"))


def parsed(lines: Iterable[bytes]) -> Iterator[Line]:
    """Those that are whole; whoever was killed while it wrote one did not get to say it."""
    yield from (json.loads(line) for line in lines if line.endswith(b"}"))


def told(outcome: Outcome) -> str:
    """Names an outcome, to the last bit."""
    return hashlib.sha256(repr(outcome).encode()).hexdigest()[:16]


class JournaledStore(Store):
    """Notes each write before it is tried (``asked``) and once it is known to have happened.

    Then follow ``did``, or ``refused`` when nothing was written; an ``asked`` that nothing
    follows may have happened or not.
    """

    def __init__(self, database: Database, journal: Journal) -> None:
        super().__init__(database)
        self.journal = journal

    def _noted(self, act: str, study: int, facts: Line, work: Callable[[], T]) -> T:
        hold = self._holds.get(study)
        facts = {"act": act, "driver": hold.epoch if hold else None, **facts}
        self.journal.note("asked", **facts)
        try:
            answer = work()
        except (LockedError, StateError):
            self.journal.note("refused", **facts)
            raise
        self.journal.note("did", **facts, answer=answer)
        return answer

    def acquire(self, study: int, owner: str | None = None, ttl: float = 30.0) -> int:
        take = super().acquire
        return self._noted("acquire", study, {}, lambda: take(study, owner, ttl))

    def release(self, study: int) -> None:
        let_go = super().release
        self._noted("release", study, {}, lambda: let_go(study))

    def renew(self, study: int) -> None:
        keep = super().renew
        self._noted("renew", study, {}, lambda: keep(study))

    def advance(
        self,
        study: int,
        finished: Sequence[tuple[Trial, int, Outcome]] = (),
        started: Sequence[tuple[Trial, str]] = (),
    ) -> tuple[list[bool], list[int]]:
        write = super().advance
        facts = {
            "finished": [[t.phase, t.index, epoch, told(end)] for t, epoch, end in finished],
            "started": [[t.phase, t.index, t.digest, t.seed, repr(t.point)] for t, _ in started],
        }
        return self._noted("advance", study, facts, lambda: write(study, finished, started))

    def restart(
        self,
        study: int,
        trial: Trial,
        reason: str = "the driver was lost",
        timings: Metrics = (),
    ) -> int | None:
        write = super().restart
        facts = {"phase": trial.phase, "trial": trial.index, "reason": reason}
        return self._noted("restart", study, facts, lambda: write(study, trial, reason, timings))

    def ended(self, study: int, reason: str) -> None:
        note = super().ended
        self._noted("ended", study, {"reason": reason}, lambda: note(study, reason))


class JournaledBackend(Backend):
    """Notes each job that is handed out."""

    def __init__(self, inner: Backend, journal: Journal) -> None:
        self.inner, self.journal, self.workers = inner, journal, inner.workers

    def submit(self, job: Job) -> None:
        self.journal.note("submitted", trial=job.trial)
        self.inner.submit(job)

    def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
        return self.inner.collect(timeout)

    def close(self) -> None:
        self.inner.close()
