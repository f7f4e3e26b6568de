"""Studies whose trials do nothing, driven by archsearch, by plain Optuna and by Ray Tune."""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna

from archsearch.execute.backend import Backend
from archsearch.execute.job import Job
from archsearch.execute.local import LocalBackend
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Layer
from archsearch.spec.settings import Budget, Objective, SearchSettings, TaskSpec
from archsearch.spec.spacefile import read_space
from archsearch.spec.trial import Outcome, State
from archsearch.store.store import open_store
from archsearch.study.course import Progress
from archsearch.study.plan import Plan
from archsearch.study.study import run_study

RAY_SECONDS = 240
SPACE = """
archsearch: 1
task: {name: parity}
space:
  width: {choice: [16, 32, 64]}
  stages:
    - repeat: {int: [1, 4]}
      blocks:
        - cell: {choice: [gru, {name: lru, state: {choice: [16, 32, 64]}}, lstm]}
          gate: {choice: [none, additive, highway]}
          channel: {choice: [none, {name: glu, expand: {choice: [1, 2, 4]}}]}
  training: {lr: {float: [1.0e-4, 1.0e-2], log: true}, weight_decay: {float: [0.0, 0.1]}}
search: {trials: 10}
confirm: none
"""


def trivial(job: Job) -> Outcome:
    """An outcome that depends on the architecture alone, held to the limits of the job."""
    value = int(job.architecture.digest[:8], 16) / 16**8
    limits = {limit.step: limit for limit in job.limits}
    curve: tuple[Any, ...] = ()
    for step in range(1, 11):
        reached = value * step / 10
        curve += ((step, (("accuracy", reached),)),)
        if step in limits and limits[step].stops((-reached,)):
            return Outcome(State.STOPPED, curve=curve)
    metrics = (("accuracy", value), ("params", float(job.architecture.width)))
    return Outcome(State.COMPLETE, metrics, curve)


class TrivialBackend(Backend):
    """Answers every job at once, in the driver's own process."""

    workers = 1

    def __init__(self) -> None:
        self._done: list[tuple[Job, Outcome]] = []

    def submit(self, job: Job) -> None:
        self._done.append((job, trivial(job)))

    def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        self._done = []


@contextmanager
def database() -> Iterator[str]:
    """A SQLite file on the disk of this folder, gone afterwards."""
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        yield f"sqlite:///{folder}/trials.db"


@contextmanager
def memory() -> Iterator[None]:
    yield None


def apart(began: float, ends: list[float]) -> list[float]:
    """Milliseconds from each end to the next."""
    return [1000 * (end - start) for start, end in zip([began, *ends], ends, strict=False)]


def plan(trials: int, sampler: str, stopping: str) -> Plan:
    catalog = load_catalog()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "space.yaml"
        path.write_text(SPACE)
        space = read_space(str(path), catalog).space
    search = SearchSettings(
        sampler=catalog.complete("sampler", Layer(sampler)),
        budget=Budget(trials=trials),
        objectives=(Objective("accuracy", "max"),),
        stopping=catalog.complete("stopping", Layer(stopping)),
    )
    task = TaskSpec("parity", catalog.complete("task", Layer("parity")))
    return Plan("overhead", task, "none", {}, space, catalog, search)


def archsearch(
    trials: int, sampler: str = "tpe", stopping: str = "none", *, file: bool = False, local: int = 0
) -> list[float]:
    """Milliseconds of each trial; ``local`` workers, or none but the driver's own process."""
    asked = plan(trials, sampler, stopping)
    ends: list[float] = []

    def watch(progress: Progress) -> None:
        if progress.trial is not None and progress.trial.state.final:
            ends.append(time.perf_counter())

    backend = LocalBackend(local, f"{Path(__file__).stem}:trivial") if local else TrivialBackend()
    with (
        database() if file else memory() as url,
        open_store(url or "sqlite://") as store,
        backend,
    ):
        began = time.perf_counter()
        run_study(asked, store, backend, watch)
    return apart(began, ends)


def plain_optuna(trials: int, *, file: bool = False) -> list[float]:
    """The same decisions and reports in Optuna's own loop, TPE as it comes."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ends: list[float] = []

    def objective(trial: optuna.Trial) -> float:
        trial.suggest_categorical("width", [16, 32, 64])
        trial.suggest_int("repeat", 1, 4)
        if trial.suggest_categorical("cell", ["gru", "lru", "lstm"]) == "lru":
            trial.suggest_categorical("state", [16, 32, 64])
        trial.suggest_categorical("gate", ["none", "additive", "highway"])
        if trial.suggest_categorical("channel", ["none", "glu"]) == "glu":
            trial.suggest_categorical("expand", [1, 2, 4])
        trial.suggest_float("weight_decay", 0.0, 0.1)
        value = trial.suggest_float("lr", 1e-4, 1e-2, log=True)
        for step in range(1, 11):
            trial.report(value * step / 10, step)
        return value

    def ended(*_: object) -> None:
        ends.append(time.perf_counter())

    with database() if file else memory() as url:
        study = optuna.create_study(storage=url, sampler=optuna.samplers.TPESampler(seed=0))
        began = time.perf_counter()
        study.optimize(objective, n_trials=trials, callbacks=[ended])
    return apart(began, ends)


def ray_tune(trials: int, actors: str) -> list[float]:
    """The mean alone: Tune does not say when each trial ended; [] when it fails or takes long."""
    script = str(Path(__file__).with_name("overhead_ray.py"))
    quiet = os.environ | {"RAY_AIR_NEW_OUTPUT": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}
    command = [sys.executable, script, str(trials), actors]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=quiet, check=True, timeout=RAY_SECONDS
        )
    except subprocess.TimeoutExpired:
        print(f"Ray Tune took more than {RAY_SECONDS} s", file=sys.stderr)
        return []
    except subprocess.CalledProcessError as error:
        print(error.stderr[-2000:], file=sys.stderr)
        return []
    return [float(done.stdout.strip().splitlines()[-1])] * trials


def bare_commit() -> float:
    """Median milliseconds of one durable commit of a trial's size on the disk of the file rows."""
    spent = []
    with database() as url:
        raw = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)
        raw.execute("PRAGMA synchronous = EXTRA")
        raw.execute("CREATE TABLE trial (id INTEGER PRIMARY KEY, record TEXT)")
        for _ in range(100):
            began = time.perf_counter()
            raw.execute("INSERT INTO trial (record) VALUES (?)", ("x" * 2000,))
            spent.append(1000 * (time.perf_counter() - began))
        raw.close()
    return round(statistics.median(spent), 2)
