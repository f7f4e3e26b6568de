"""What stands in for workers and for the disk, so that what reaches them can be seen."""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toy_study import answer

from archsearch.execute.backend import Backend
from archsearch.execute.job import Job
from archsearch.spec.trial import Outcome, State


class Orderly(Backend):
    """Answers at once; ``seen`` are the jobs that it was given."""

    workers = 2

    def __init__(self, run: Callable[[Job], Outcome] = answer) -> None:
        self.run = run
        self.held: list[Job] = []
        self.seen: list[Job] = []

    def submit(self, job: Job) -> None:
        self.held.append(job)
        self.seen.append(job)

    def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
        done, self.held = self.held[:1], self.held[1:]
        return [(job, self.run(job)) for job in done]

    def close(self) -> None:
        self.held.clear()


class Disorderly(Orderly):
    """Answers in an order of its own."""

    workers = 4

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = random.Random(seed)

    def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
        self.rng.shuffle(self.held)
        return super().collect(timeout)


def lies(job: Job) -> Outcome:
    """The answer, of which now and then a part is not a number."""
    outcome = answer(job)
    if job.trial % 4 or outcome.state is not State.COMPLETE:
        return outcome
    value = (math.nan, math.inf, -math.inf)[job.trial // 4 % 3]
    curve = tuple((step, tuple((name, value) for name, _ in seen)) for step, seen in outcome.curve)
    return replace(outcome, metrics=tuple((n, value) for n, _ in outcome.metrics), curve=curve)


@contextmanager
def calls_to_the_disk() -> Iterator[list[tuple[str, int]]]:
    """What is synced and renamed meanwhile, by the number of its inode."""
    seen: list[tuple[str, int]] = []
    sync, rename, put = os.fsync, os.rename, os.replace

    def synced(descriptor: int) -> None:
        seen.append(("sync", os.fstat(descriptor).st_ino))
        sync(descriptor)

    def moved(move: Callable[..., None], source: Any, target: Any) -> None:
        seen.append(("rename", Path(source).stat().st_ino))
        move(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", synced)
        patch.setattr(os, "rename", lambda source, target: moved(rename, source, target))
        patch.setattr(os, "replace", lambda source, target: moved(put, source, target))
        yield seen
