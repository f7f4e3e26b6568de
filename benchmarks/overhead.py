"""What the driver itself costs per trial, beside plain Optuna and Ray Tune in the same run.

    python benchmarks/overhead.py            # all rows, about ten minutes
    python benchmarks/overhead.py --no-ray

Trials do nothing, so every second is overhead. Eight conditional decisions, TPE, lag 8.
Writes benchmarks/results/overhead.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archsearch.execute.backend import Backend
from archsearch.execute.job import Job
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Layer
from archsearch.spec.settings import Budget, Objective, SearchSettings, TaskSpec
from archsearch.spec.spacefile import read_space
from archsearch.spec.trial import Outcome, State
from archsearch.store.store import open_store
from archsearch.study.drive import Progress
from archsearch.study.plan import Plan
from archsearch.study.study import run_study

RESULTS = Path(__file__).parent / "results" / "overhead.json"
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


class TrivialBackend(Backend):
    """Answers every job at once with a value that depends on its architecture alone."""

    workers = 1

    def __init__(self) -> None:
        self._done: list[tuple[Job, Outcome]] = []

    def submit(self, job: Job) -> None:
        value = int(job.architecture.digest[:8], 16) / 16**8
        metrics = (("accuracy", value), ("params", float(job.architecture.width)))
        curve = tuple((step, (("accuracy", value * step / 10),)) for step in range(1, 11))
        self._done.append((job, Outcome(State.COMPLETE, metrics, curve)))

    def collect(self, timeout: float | None = None) -> list[tuple[Job, Outcome]]:
        done, self._done = self._done, []
        return done

    def close(self) -> None:
        self._done = []


def study_milliseconds(url: str, trials: int, sampler: str, stopping: str = "none") -> list[float]:
    """Milliseconds of each trial of a study whose trials do nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "space.yaml"
        path.write_text(SPACE)
        catalog = load_catalog()
        file = read_space(str(path), catalog)
    search = SearchSettings(
        sampler=catalog.complete("sampler", Layer(sampler)),
        budget=Budget(trials=trials),
        objectives=(Objective("accuracy", "max"),),
        stopping=catalog.complete("stopping", Layer(stopping)),
    )
    task = TaskSpec("parity", catalog.complete("task", Layer("parity")))
    plan = Plan("overhead", task, "none", {}, file.space, catalog, search)
    ends: list[float] = []

    def watch(progress: Progress) -> None:
        if progress.trial is not None and progress.trial.state.final:
            ends.append(time.perf_counter())

    began = time.perf_counter()
    with open_store(url) as store:
        run_study(plan, store, TrivialBackend(), watch)
    return [1000 * (end - start) for start, end in zip([began, *ends], ends, strict=False)]


def optuna_milliseconds(url: str | None, trials: int) -> list[float]:
    """The same decisions with plain Optuna's own loop, TPE as it comes."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    ends = []

    def objective(trial: Any) -> float:
        trial.suggest_categorical("width", [16, 32, 64])
        trial.suggest_int("repeat", 1, 4)
        cell = trial.suggest_categorical("cell", ["gru", "lru", "lstm"])
        if cell == "lru":
            trial.suggest_categorical("state", [16, 32, 64])
        trial.suggest_categorical("gate", ["none", "additive", "highway"])
        if trial.suggest_categorical("channel", ["none", "glu"]) == "glu":
            trial.suggest_categorical("expand", [1, 2, 4])
        trial.suggest_float("weight_decay", 0, 0.1)
        value = trial.suggest_float("lr", 1e-4, 1e-2, log=True)
        for step in range(1, 11):
            trial.report(value * step / 10, step)
        ends.append(time.perf_counter())
        return value

    study = optuna.create_study(storage=url, sampler=optuna.samplers.TPESampler(seed=0))
    began = time.perf_counter()
    study.optimize(objective, n_trials=trials)
    return [1000 * (end - start) for start, end in zip([began, *ends], ends, strict=False)]


RAY_SCRIPT = """
import json, sys, time, logging
import ray
from ray import tune
trials, reuse = int(sys.argv[1]), sys.argv[2] == "reuse"
ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
class Trivial(tune.Trainable):
    def setup(self, config): self.config = config
    def step(self): return {"value": self.config["lr"], "done": True}
    def reset_config(self, config):
        self.config = config
        return True
    def save_checkpoint(self, folder): return {}
    def load_checkpoint(self, saved): pass
space = {"lr": tune.loguniform(1e-4, 1e-2), "width": tune.choice([16, 32, 64])}
settings = tune.TuneConfig(num_samples=trials, metric="value", mode="max", reuse_actors=reuse)
began = time.perf_counter()
tune.Tuner(Trivial, param_space=space, tune_config=settings,
           run_config=tune.RunConfig(verbose=0)).fit()
print(json.dumps(1000 * (time.perf_counter() - began) / trials))
"""


def ray_milliseconds(trials: int, reuse: bool) -> float | None:
    """Milliseconds per trial of Ray Tune with random search (its cheapest searcher)."""
    command = [sys.executable, "-c", RAY_SCRIPT, str(trials), "reuse" if reuse else "default"]
    quiet = os.environ | {"RAY_AIR_NEW_OUTPUT": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=quiet, check=False)
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
        return None
    return float(json.loads(done.stdout.strip().splitlines()[-1]))


@contextmanager
def database() -> Iterator[str]:
    """A SQLite file that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/trials.db"


def around(costs: list[float], index: int, width: int = 100) -> float:
    """The median cost of the trials around one index."""
    low = max(0, min(index - width // 2, len(costs) - width))
    return statistics.median(costs[low : low + width])


def row(name: str, run: Callable[[], list[float]]) -> dict[str, Any]:
    """One measured line of the table."""
    costs = run()
    at = {str(i): round(around(costs, i), 2) for i in (100, 1000, 5000) if i <= len(costs)}
    line = {"what": name, "trials": len(costs), "ms_median": round(statistics.median(costs), 2),
            "ms_mean": round(statistics.fmean(costs), 2), "ms_at": at}  # fmt: skip
    print(f"{name:44} {line['trials']:6} trials  mean {line['ms_mean']:8.2f} ms  at {at}")
    return line


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--no-ray", action="store_true")
    options.add_argument("--long", type=int, default=5050, help="trials of the flatness rows")
    chosen = options.parse_args()
    lines = [
        row("archsearch random, memory", lambda: study_milliseconds("sqlite://", 1000, "random")),
        row("archsearch tpe, memory", lambda: study_milliseconds("sqlite://", chosen.long, "tpe")),
        row(
            "archsearch tpe + halving, memory",
            lambda: study_milliseconds("sqlite://", chosen.long, "tpe", "halving"),
        ),
        row("optuna tpe, memory", lambda: optuna_milliseconds(None, 1000)),
    ]
    with database() as url:
        lines.append(
            row("archsearch tpe, SQLite file", lambda: study_milliseconds(url, 1000, "tpe"))
        )
    with database() as url:
        lines.append(row("optuna tpe, SQLite file", lambda: optuna_milliseconds(url, 300)))
    if not chosen.no_ray:
        for name, trials, reuse in (("default", 40, False), ("reuse_actors", 400, True)):
            cost = ray_milliseconds(trials, reuse)
            lines.append({"what": f"ray tune, {name}", "trials": trials, "ms_mean": cost})
            print(f"{lines[-1]['what']:44} {trials:6} trials  mean {cost} ms")
    machine = {"python": platform.python_version(), "cores": os.cpu_count()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"machine": machine, "rows": lines}, indent=2) + "\n")


if __name__ == "__main__":
    main()
