"""The end of a long study on simulated workers; prints what its driver needed, as JSON.

    python benchmarks/scale_runs.py driven '{"url": "sqlite:///long.db", "workers": 1000, ...}'

Workers are entries of a queue and time is virtual, but for the driver's: while it computes, the
clock goes on by its core-seconds, so that a driver that cannot keep up leaves workers idle. Each
time that it has written, the clock also goes on by what a disk takes to make that durable.
"""

from __future__ import annotations

import heapq
import json
import math
import random
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import sqlalchemy
from overhead_runs import plan, trivial
from sqlalchemy import func, select, update
from store_speed_runs import finished

from archsearch.cli.results import read_leading
from archsearch.cli.tables import leaderboard_table
from archsearch.execute.backend import Backend
from archsearch.execute.job import Job
from archsearch.search.unseen import Unseen
from archsearch.spec.trial import Outcome
from archsearch.store import tables
from archsearch.store.rows import study_row
from archsearch.store.store import open_store
from archsearch.study.course import Progress
from archsearch.study.plan import Plan
from archsearch.study.study import run_study

NAME = "scale"
# lognormal: half of the trials take less than this, one in a hundred more than five times as much
MEDIAN_SECONDS, SPREAD = 60.0, 0.7
COMMIT_SECONDS = 0.005
TIMINGS = (("seconds", 60.0), ("cpu_seconds", 60.0))
BATCH = 500


class Simulated(Backend):
    """``workers`` that train nothing; a trial lasts as its seed says."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.clock = self.busy = self.own = 0.0
        self.most = 0
        self._running: list[tuple[float, int, Job]] = []
        self._seen = time.process_time()

    def submit(self, job: Job) -> None:
        began = time.process_time()
        lasts = random.Random(job.seed).lognormvariate(math.log(MEDIAN_SECONDS), SPREAD)
        heapq.heappush(self._running, (self.clock + lasts, job.trial, job))
        self.busy += lasts
        self.most = max(self.most, len(self._running))
        self.own += time.process_time() - began

    def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
        began = time.process_time()
        self.clock += began - self._seen + COMMIT_SECONDS
        if self._running:
            self.clock = max(self.clock, self._running[0][0])
        done = []
        while self._running and self._running[0][0] <= self.clock:
            _, _, job = heapq.heappop(self._running)
            done.append((job, replace(trivial(job), timings=TIMINGS)))
        self._seen = time.process_time()
        self.own += self._seen - began
        return done

    def close(self) -> None:
        self._running.clear()


def timed_proposals() -> list[float]:
    """Core-milliseconds of each proposal from now on."""
    spent: list[float] = []
    plain = Unseen.propose

    def timed(of: Unseen, *arguments: Any) -> Any:
        began = time.process_time()
        found = plain(of, *arguments)
        spent.append(1000 * (time.process_time() - began))
        return found

    Unseen.propose = timed  # type: ignore[method-assign]
    return spent


def asked(trials: int, sampler: str, lag: int) -> Plan:
    of = plan(trials, sampler, "none")
    return replace(of, name=NAME, search=replace(of.search, lag=lag))


def filled(url: str, first: int, last: int) -> dict[str, Any]:
    """Trials ``first`` to ``last`` drawn at random, as a driver would have left them."""
    of, rng = asked(last, "tpe", 1), random.Random(first)
    began = time.process_time()
    with open_store(url) as store:
        study = store.create_study(
            of.name, of.fingerprint(), of.text, asked(1, "tpe", 1).settings()
        )
        store.acquire(study.id)
        for start in range(first, last, BATCH):
            drawn = [finished(of, index, rng) for index in range(start, min(start + BATCH, last))]
            timed = [
                replace(each, outcome=replace(each.outcome, timings=TIMINGS)) for each in drawn
            ]
            store.advance(study.id, started=[(each, f"job {each.index}") for each in timed])
        store.release(study.id)
    return {"core_seconds": round(time.process_time() - began, 1)}


def renamed(url: str, of: Plan) -> None:
    """Have the stored study be this one, which differs from it in nothing but its settings."""
    row = study_row(of.name, of.fingerprint(), of.text, asked(1, "tpe", 1).settings())
    with sqlalchemy.create_engine(url).begin() as connection:
        connection.execute(update(tables.study).values(**row))


def driven(url: str, workers: int, trials: int, sampler: str, lag: int) -> dict[str, Any]:
    """Continue the stored study up to ``trials``."""
    of = asked(trials, sampler, lag)
    renamed(url, of)
    with sqlalchemy.create_engine(url).connect() as connection:
        before = int(connection.scalar(select(func.count()).select_from(tables.trial)) or 0)
    spent, backend = timed_proposals(), Simulated(workers)
    first: list[tuple[float, float]] = []

    def watch(_: Progress) -> None:
        if not first:
            first.append((time.process_time(), backend.clock))

    with open_store(url) as store:
        began = time.process_time()
        run_study(of, store, backend, watch)
        ended = time.process_time()
    new, last = trials - before, sorted(spent[-1000:])
    return {
        "workers": workers,
        "lag": lag,
        "sampler": sampler,
        "trials": trials,
        "of_them_driven": new,
        "most_at_once": backend.most,
        "core_seconds_to_continue": round(first[0][0] - began, 2),
        "driver_core_ms_per_trial": round(1000 * (ended - first[0][0] - backend.own) / new, 3),
        "propose_core_ms_median": round(last[len(last) // 2], 2),
        "propose_core_ms_largest_of_1000": round(last[-1], 2),
        "utilisation": round(backend.busy / (workers * backend.clock), 3),
        "virtual_seconds": round(backend.clock, 1),
        "megabytes": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def lagged(workers: int, times: float, trials: int) -> dict[str, Any]:
    """How busy workers are by the rule of the lag alone: nothing is stored, nothing is proposed."""
    lag, rng = int(times * workers), random.Random(0)
    ends: list[float] = []
    begins: list[float] = []
    free, clock, settled = [0.0] * workers, 0.0, 0.0
    for index in range(trials):
        if index >= lag:
            # all outcomes up to this one must be there
            settled = max(settled, ends[index - lag])
        clock = max(heapq.heappop(free), settled, clock)
        lasts = rng.lognormvariate(math.log(MEDIAN_SECONDS), SPREAD)
        begins.append(clock)
        ends.append(clock + lasts)
        heapq.heappush(free, clock + lasts)
    # until the last trial begins; from then on there is none to begin, whatever the lag
    busy = sum(min(end, clock) - begin for begin, end in zip(begins, ends, strict=True))
    used = round(busy / clock / workers, 3)
    return {"workers": workers, "lag_over_workers": times, "utilisation": used}


def read(url: str) -> dict[str, Any]:
    """Opening the store, the first ten rows of its leaderboard, and its whole history."""
    began, spent = time.perf_counter(), time.process_time()
    with open_store(url, read_only=True) as store:
        opened = time.perf_counter()
        leaderboard_table(read_leading(store, NAME, 10), 10)
        shown, shown_spent = time.perf_counter(), time.process_time()
        study = store.find_study(NAME)
        assert study is not None
        assert len(store.history(study.id)) >= 10
        ended = time.perf_counter()
    return {
        "opening_seconds": round(opened - began, 2),
        "leaderboard_seconds": round(shown - began, 2),
        "leaderboard_core_seconds": round(shown_spent - spent, 2),
        "history_seconds": round(ended - shown, 2),
    }


WHAT: dict[str, Callable[..., dict[str, Any]]] = {
    "filled": filled,
    "driven": driven,
    "lagged": lagged,
    "read": read,
}

if __name__ == "__main__":
    what, settings = sys.argv[1], json.loads(sys.argv[2])
    print(json.dumps(WHAT[what](**settings)))
