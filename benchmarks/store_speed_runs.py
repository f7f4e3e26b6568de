"""What store_speed.py measures: writers, a study continued, and workers with one-second trials.

python benchmarks/store_speed_runs.py sqlite:///trials.db    # continues what filled() wrote
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
from overhead_runs import TrivialBackend, database, plan, trivial
from sqlalchemy import create_engine, make_url, text

from archsearch.execute.job import Job
from archsearch.execute.local import LocalBackend
from archsearch.spec.settings import derived_seed
from archsearch.spec.trial import Outcome, Trial
from archsearch.store.store import open_store
from archsearch.study.course import Progress
from archsearch.study.plan import Plan
from archsearch.study.study import run_study
from archsearch.testing.toy import example_space, toy_outcome

PROCESSES = multiprocessing.get_context("forkserver")
SECOND = 1.0
WORKERS = 2
BATCH = 64
# characters of what a trial is written as, about
ROW = 1000
TURNS = "STORE_SPEED_TURNS"


def write(
    url: str, name: str, number: int, at_once: int, ready: Any, told: Callable[[Any], None]
) -> None:
    """One driver: so many trials started and finished, each write durable before the next.

    One commit finishes ``at_once`` trials and begins as many, as for so many workers that end at
    the same time; with 0, each start and each finish is a commit of its own.
    """
    space = example_space()
    point = space.sample(random.Random(0))
    architecture = space.architecture(point)
    outcome = toy_outcome(architecture)
    trials = [
        Trial(index, "search", point, architecture, architecture.digest, index)
        for index in range(number)
    ]
    with open_store(url) as store:
        study = store.create_study(name, {}, "", {}).id
        store.acquire(study)
        ready.wait()
        began, spent = time.perf_counter(), time.process_time()
        if at_once:
            batches = [trials[first : first + at_once] for first in range(0, number, at_once)]
            for done, begun in pairwise([[], *batches, []]):
                store.advance(
                    study,
                    [(trial, 1, outcome) for trial in done],
                    [(trial, f"{name} {trial.index}") for trial in begun],
                )
        else:
            for trial in trials:
                store.start(study, trial, f"{name} {trial.index}")
                store.finish(study, trial, 1, outcome)
        told((began, time.perf_counter(), time.process_time() - spent))
        store.release(study)


def pairs(url: str | None, writers: int, at_once: int, number: int) -> dict[str, Any]:
    """Pairs per second over all writers; ``url`` None is a SQLite file."""
    with nullcontext(url) if url else database() as place:
        open_store(place).close()
        server = postmaster(url) if url else None
        before = of_children(server)
        ready, told = PROCESSES.Barrier(writers), PROCESSES.SimpleQueue()
        names = [f"writer {time.time()} {writer}" for writer in range(writers)]
        processes = [
            PROCESSES.Process(target=write, args=(place, name, number, at_once, ready, told.put))
            for name in names
        ]
        for process in processes:
            process.start()
        spans = [told.get() for _ in processes]
        for process in processes:
            process.join()
        # those that served the writers are its children and have ended with them
        time.sleep(0.5)
        served = of_children(server) - before
    seconds = max(end for _, end, _ in spans) - min(begun for begun, _, _ in spans)
    return {
        "pairs_per_second": round(writers * number / seconds, 1),
        "pairs": writers * number,
        "writer_cpu_ms_per_pair": round(1000 * sum(cpu for *_, cpu in spans) / writers / number, 2),
        "server_cpu_ms_per_pair": round(1000 * served / writers / number, 2),
    }


def searched(url: str | None, workers: int, number: int) -> dict[str, Any]:
    """Trials per second of a whole driver whose workers answer at once; random search."""
    backend = TrivialBackend()
    backend.workers = workers
    with nullcontext(url) if url else database() as place, open_store(place) as store:
        asked = replace(plan(number, "random", "none"), name=f"searched {time.time()}")
        began, spent = time.perf_counter(), time.process_time()
        run_study(asked, store, backend, lambda _: None)
        seconds, spent = time.perf_counter() - began, time.process_time() - spent
    return {
        "pairs_per_second": round(number / seconds, 1),
        "pairs": number,
        "driver_cpu_ms_per_pair": round(1000 * spent / number, 2),
    }


def bare_sqlite(number: int) -> dict[str, Any]:
    """Commits per second of a row each, synced as the store's are and with nothing around."""
    with database() as url, closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as raw:
        raw.execute("PRAGMA journal_mode = DELETE")
        raw.execute("PRAGMA synchronous = EXTRA")
        raw.execute("CREATE TABLE bare (told TEXT)")
        began = time.perf_counter()
        for _ in range(number):
            with raw:
                raw.execute("INSERT INTO bare VALUES (?)", ("x" * ROW,))
        seconds = time.perf_counter() - began
    return {"commits_per_second": round(number / seconds, 1)}


def bare_postgres(url: str, clients: int) -> dict[str, Any]:
    """The same with PostgreSQL's own client for measuring it."""
    given = make_url(url)
    place = ["-h", str(given.host), "-p", str(given.port), "-U", str(given.username)]
    with create_engine(url).begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS bare (told text)"))
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "bare.sql"
        script.write_text(f"INSERT INTO bare VALUES (repeat('x', {ROW}));")
        measuring = ["-n", "-c", str(clients), "-j", "2", "-T", "3", "-f", str(script)]
        (pgbench, *_) = sorted(Path("/usr/lib/postgresql").glob("*/bin/pgbench"), reverse=True)
        line = [str(pgbench), *place, *measuring, str(given.database)]
        told = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    (rate,) = re.findall(r"tps = ([\d.]+)", told)
    return {"commits_per_second": round(float(rate), 1)}


def postmaster(url: str) -> psutil.Process:
    """The process whose children serve the connections to a PostgreSQL on this machine."""
    with create_engine(url).connect() as connection:
        backend = connection.scalar(text("SELECT pg_backend_pid()"))
        server = psutil.Process(int(backend or 0)).parent()
    assert server is not None
    return server


def of_children(server: psutil.Process | None) -> float:
    """Core-seconds of the children that have ended."""
    if server is None:
        return 0.0
    spent = server.cpu_times()
    return float(spent.children_user + spent.children_system)


def filled(url: str, number: int) -> None:
    """A study with so many finished trials, drawn at random, as a driver would have left it."""
    asked, rng = plan(number, "tpe", "none"), random.Random(0)
    with open_store(url) as store:
        study = store.create_study(asked.name, asked.fingerprint(), asked.text, asked.settings()).id
        store.acquire(study)
        for first in range(0, number, BATCH):
            indices = range(first, min(first + BATCH, number))
            begun = [(finished(asked, index, rng), f"job {index}") for index in indices]
            store.advance(study, started=begun)
        store.ended(study, "all trials are done")
        store.release(study)


def finished(asked: Plan, index: int, rng: random.Random) -> Trial:
    point = asked.space.sample(rng)
    architecture = asked.space.architecture(point)
    seed, digest = derived_seed(0, index), architecture.digest
    objectives = asked.search.objectives
    job = Job(index, "", asked.task, "", architecture, seed, objectives=objectives)
    return Trial(index, "search", point, architecture, digest, seed, trivial(job))


class Submitted(Exception):
    """The first new trial was handed out."""


class FirstOnly(TrivialBackend):
    def submit(self, job: Job) -> None:
        raise Submitted


def continued(url: str) -> dict[str, Any]:
    """Open the store, read the study, replay the sampler, commit and hand out the next trial."""
    began, spent = time.perf_counter(), time.process_time()
    with open_store(url) as store:
        opened = time.perf_counter()
        study = store.find_study("overhead")
        assert study is not None
        known = study.settings["trials"]
        try:
            run_study(plan(known + 1, "tpe", "none"), store, FirstOnly(), lambda _: None)
        except Submitted:
            ended, spent = time.perf_counter(), time.process_time() - spent
    return {
        "seconds": round(ended - began, 2),
        "cpu_seconds": round(spent, 2),
        "opening_seconds": round(opened - began, 2),
    }


def burn(turns: int) -> None:
    for _ in range(turns):
        sum(range(20_000))


def turns_in_a_second() -> int:
    turns, began = 0, time.process_time()
    while time.process_time() < began + SECOND:
        burn(1)
        turns += 1
    return turns


def second(kind: str) -> None:
    """Sleep for a second, or compute what takes one where nobody disturbs."""
    if kind == "sleep":
        time.sleep(SECOND)
    else:
        burn(int(os.environ[TURNS]))


def sleep(job: Job) -> Outcome:
    second("sleep")
    return trivial(job)


def cpu(job: Job) -> Outcome:
    second("cpu")
    return trivial(job)


def bare_worker(kind: str, trials: int, ready: Any, told: Callable[[float], None]) -> None:
    ready.wait()
    for _ in range(trials):
        second(kind)
    told(time.perf_counter())


def bare(kind: str, trials: int) -> float:
    """Seconds that two processes with nothing but the work take."""
    os.environ[TURNS] = str(turns_in_a_second())
    spawned = multiprocessing.get_context("spawn")
    ready, ends = spawned.Barrier(WORKERS + 1), spawned.SimpleQueue()
    arguments = (kind, trials // WORKERS, ready, ends.put)
    processes = [spawned.Process(target=bare_worker, args=arguments) for _ in range(WORKERS)]
    for process in processes:
        process.start()
    ready.wait()
    began = time.perf_counter()
    last = max(ends.get() for _ in processes)
    for process in processes:
        process.join()
    return round(last - began, 2)


def driven(kind: str, trials: int) -> float:
    """Seconds that a study takes for so many trials, once its workers are warm."""
    ends: list[float] = []

    def watch(progress: Progress) -> None:
        if progress.trial is not None and progress.trial.state.final:
            ends.append(time.perf_counter())

    # the first trial of each worker waits for it to be imported and forked
    run = f"{Path(__file__).stem}:{kind}"
    asked = plan(trials + WORKERS, "tpe", "none")
    with database() as url, open_store(url) as store, LocalBackend(WORKERS, run) as backend:
        run_study(asked, store, backend, watch)
    return round(ends[-1] - ends[WORKERS - 1], 2)


if __name__ == "__main__":
    print(json.dumps(continued(sys.argv[1])))
