"""What a backend itself costs: jobs that do nothing, so that every millisecond is overhead.

    python benchmarks/backends.py

Writes benchmarks/results/backends.json.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from archsearch.execute.backend import Backend
from archsearch.execute.inline import RUN_JOB, InlineBackend
from archsearch.execute.local import LocalBackend
from archsearch.testing.backends import everything
from archsearch.testing.faults import BEHAVE, fault_job

RESULTS = Path(__file__).parent / "results" / "backends.json"


def one_by_one(backend: Backend, jobs: int = 300) -> float:
    """Median milliseconds from handing over a job to holding its outcome."""
    spent = []
    for index in range(jobs):
        began = time.perf_counter()
        everything(backend, [fault_job(index, "complete")])
        spent.append(time.perf_counter() - began)
    return 1000 * statistics.median(spent)


def together(backend: Backend, jobs: int = 2000) -> float:
    """Milliseconds per job when all are handed over at once."""
    began = time.perf_counter()
    everything(backend, [fault_job(index, "complete") for index in range(jobs)])
    return 1000 * (time.perf_counter() - began) / jobs


def after_a_death(backend: Backend, deaths: int = 20) -> float:
    """Median milliseconds of a job whose worker dies, until the next one is done by another."""
    spent = []
    for index in range(deaths):
        began = time.perf_counter()
        everything(backend, [fault_job(index, "exit")])
        everything(backend, [fault_job(index, "complete")])
        spent.append(time.perf_counter() - began)
    return 1000 * statistics.median(spent)


def first_answer(run: str) -> float:
    """Milliseconds from opening the local backend to an outcome of a job it cannot run."""
    began = time.perf_counter()
    with LocalBackend(1, run) as backend:
        everything(backend, [fault_job(0, "complete")])
        return 1000 * (time.perf_counter() - began)


def main() -> None:
    rows: dict[str, float] = {}

    def row(name: str, measure: Callable[[], float]) -> None:
        rows[name] = round(measure(), 3)
        print(f"{name:56} {rows[name]:10.3f} ms")

    row("inline, one by one", lambda: one_by_one(InlineBackend(BEHAVE)))
    with LocalBackend(2, BEHAVE) as backend:
        row("local, one by one", lambda: one_by_one(backend))
        row("local, 2 workers, all at once, per job", lambda: together(backend))
        row("local, a worker dies and is replaced", lambda: after_a_death(backend))
    row("local, from nothing to the first outcome, without torch", lambda: first_answer(BEHAVE))
    row("local, from nothing to the first outcome, with torch", lambda: first_answer(RUN_JOB))
    machine = {"python": platform.python_version(), "cores": os.cpu_count()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine, "milliseconds": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
