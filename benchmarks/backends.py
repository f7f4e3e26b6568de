"""What a backend itself costs: jobs that do nothing, so that every millisecond is overhead.

    python benchmarks/backends.py            # about five minutes
    python benchmarks/backends.py --no-ray   # one minute

Ray's backends begin a cluster on this machine; Ray Tune by itself is measured in the same run, on
trials that do nothing either. Writes benchmarks/results/backends.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from overhead_runs import ray_tune

from archsearch.execute.backend import Backend
from archsearch.execute.cluster.backends import RayBackend, TuneBackend
from archsearch.execute.inline import RUN_JOB, InlineBackend
from archsearch.execute.job import Job
from archsearch.execute.local import LocalBackend
from archsearch.spec.trial import Outcome, State
from archsearch.testing.backends import everything
from archsearch.testing.faults import BEHAVE, fault_job

RESULTS = Path(__file__).parent / "results" / "backends.json"
SECOND = f"{Path(__file__).stem}:second"
# what is promised: milliseconds at most, or a share of the ideal at least
PROMISES = {
    "ray, one by one": 5.0,
    "tune, 2 workers, all at once, per job": 60.0,
    "local, 2 workers, trials of 1 s, share of ideal": 0.95,
    "ray, 2 workers, trials of 1 s, share of ideal": 0.95,
}


def second(_job: Job) -> Outcome:
    """A trial of one second."""
    time.sleep(1.0)
    return Outcome(State.COMPLETE)


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


def first_answer(open_backend: Callable[[], Backend]) -> float:
    """Milliseconds from opening a backend to an outcome of a job that does nothing."""
    began = time.perf_counter()
    with open_backend() as backend:
        everything(backend, [fault_job(0, "complete")])
        return 1000 * (time.perf_counter() - began)


def share_of_ideal(backend: Backend, jobs: int = 20) -> float:
    """What two workers make of trials of one second, as a share of two trials a second."""
    with backend:
        # both are there and have nothing to do
        for _ in range(3):
            everything(backend, [fault_job(index, "complete") for index in range(2)])
        began = time.perf_counter()
        everything(backend, [fault_job(index, "complete") for index in range(jobs)])
        return jobs / 2 / (time.perf_counter() - began)


def tune_itself(trials: int, actors: str) -> float:
    """Milliseconds per trial of Ray Tune's own; no number when it fails or takes minutes."""
    return next(iter(ray_tune(trials, actors)), float("nan"))


def machine() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "ray": version("ray"),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--no-ray", action="store_true")
    with_ray = not options.parse_args().no_ray
    facts = machine()
    rows: dict[str, float] = {}

    def row(name: str, measure: Callable[[], float]) -> None:
        rows[name] = round(measure(), 3)
        promised = PROMISES.get(name)
        print(f"{name:60} {rows[name]:10.3f}" + (f"  promised {promised}" if promised else ""))

    row("inline, one by one", lambda: one_by_one(InlineBackend(BEHAVE)))
    with LocalBackend(2, BEHAVE) as backend:
        row("local, one by one", lambda: one_by_one(backend))
        row("local, 2 workers, all at once, per job", lambda: together(backend))
        row("local, a worker dies and is replaced", lambda: after_a_death(backend))
    row(
        "local, from nothing to the first outcome, without torch",
        lambda: first_answer(lambda: LocalBackend(1, BEHAVE)),
    )
    row(
        "local, from nothing to the first outcome, with torch",
        lambda: first_answer(lambda: LocalBackend(1, RUN_JOB)),
    )
    row(
        "local, 2 workers, trials of 1 s, share of ideal",
        lambda: share_of_ideal(LocalBackend(2, SECOND)),
    )
    if with_ray:
        with RayBackend("local", 2, BEHAVE) as backend:
            everything(backend, [fault_job(index, "complete") for index in range(200)])
            row("ray, one by one", lambda: one_by_one(backend, 1500))
            row("ray, 2 workers, all at once, per job", lambda: together(backend))
            row("ray, a worker dies and is replaced", lambda: after_a_death(backend))
        row(
            "ray, 2 workers, trials of 1 s, share of ideal",
            lambda: share_of_ideal(RayBackend("local", 2, SECOND)),
        )
        with TuneBackend("local", 2, BEHAVE) as backend:
            everything(backend, [fault_job(index, "complete") for index in range(20)])
            row("tune, one by one", lambda: one_by_one(backend, 100))
            row("tune, 2 workers, all at once, per job", lambda: together(backend, 400))
        row("ray tune itself, reuse_actors, per trial", lambda: tune_itself(400, "reuse_actors"))
        row("ray tune itself, default, per trial", lambda: tune_itself(40, "default"))
    facts["load_after"] = [round(load, 2) for load in os.getloadavg()]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": facts, "milliseconds": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
