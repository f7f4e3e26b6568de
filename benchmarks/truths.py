"""Known truths: which cells solve parity and associative recall, and does a search find them?

    python benchmarks/truths.py              # a few minutes on one thread

Parity: a nonlinear state or negative eigenvalues are needed (Grazzi et al. 2024, arXiv
2411.12537). Recall: a matrix memory or attention is needed (Arora et al. 2023, arXiv 2312.04927).
Writes benchmarks/results/truths.json.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from archsearch.cli.plans import plans_of
from archsearch.execute.inline import InlineBackend
from archsearch.execute.job import Job
from archsearch.execute.run_job import run_job
from archsearch.plugins import load_catalog
from archsearch.select.ranking import rank
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.settings import TaskSpec
from archsearch.spec.spacefile import read_space
from archsearch.store.store import open_store
from archsearch.study.study import run_study
from archsearch.tasks.open import open_task

RESULTS = Path(__file__).parent / "results" / "truths.json"
SOLVED, FAILED = 0.98, 0.8


@dataclass(frozen=True)
class Truth:
    """A cell on a task, and whether theory says that it solves it."""

    task: Layer
    cell: Layer
    solves: bool
    steps: int
    lr: float
    blocks: int = 1


PARITY = Layer.of("parity", length=40, test_length=256)
MQAR = Layer.of("mqar", pairs=8, vocab=64, length=32)
TRUTHS = (
    Truth(PARITY, Layer("gru"), True, 1000, 0.01),
    Truth(PARITY, Layer("lstm"), True, 1000, 0.01),
    Truth(PARITY, Layer("gla"), False, 1000, 0.01),
    Truth(PARITY, Layer.of("deltanet", beta_range=2), True, 1000, 0.01),
    Truth(PARITY, Layer.of("deltanet", beta_range=1), False, 1000, 0.01),
    Truth(MQAR, Layer("attention"), True, 1500, 0.003, 2),
    Truth(MQAR, Layer("deltanet"), True, 1500, 0.003),
    Truth(MQAR, Layer("gru"), False, 1500, 0.003),
)
SEARCHES = {
    "parity": """
archsearch: 1
task: {name: parity, length: 40, test_length: 256}
space:
  width: 32
  stages:
    - blocks:
        - cell: {choice: [gla, gru, attention, {name: deltanet, beta_range: {choice: [1, 2]}}]}
  training: {lr: {choice: [0.003, 0.01]}, steps: 1000, batch: 64}
search: {trials: 10, stopping: halving, seed: 1}
confirm: none
""",
    "mqar": """
archsearch: 1
task: {name: mqar, pairs: 8, vocab: 64, length: 32}
space:
  width: 32
  stages:
    - repeat: {choice: [1, 2]}
      blocks:
        - cell: {choice: [gru, lstm, deltanet, attention]}
  training: {lr: {choice: [0.003, 0.006]}, steps: 1500, batch: 64}
search: {trials: 10, stopping: halving, seed: 1}
confirm: none
""",
}


def measure(truth: Truth) -> dict[str, Any]:
    """Train the cell by the common recipe and hold it against what theory says."""
    catalog = load_catalog()
    task = TaskSpec(truth.task.name, catalog.complete("task", truth.task))
    training = Layer.of("adamw", lr=truth.lr, steps=truth.steps, batch=64, evaluations=2)
    architecture = catalog.complete_architecture(
        Architecture(
            width=32,
            stages=(Stage((Block(truth.cell),) * truth.blocks),),
            training=training,
        )
    )
    began = time.perf_counter()
    fingerprint = open_task(task).fingerprint
    outcome = run_job(Job(0, "truth", task, fingerprint, architecture, seed=0))
    seconds = time.perf_counter() - began
    accuracy = outcome.metric("accuracy") or 0.0
    long = outcome.metric("accuracy_long")
    agrees = accuracy > SOLVED if truth.solves else accuracy < FAILED
    if truth.task.name == "parity" and long is not None:
        agrees = agrees and (long > FAILED if truth.solves else long < 0.6)
    line = {
        "task": str(truth.task),
        "cell": str(truth.cell),
        "expected": "solves" if truth.solves else "fails",
        "state": str(outcome.state),
        "accuracy": accuracy,
        "accuracy_long": long,
        "agrees": agrees,
        "seconds": round(seconds, 1),
    }
    shown = "" if long is None else f", at 256 {long:.3f}"
    verdict = "agree" if agrees else "DISAGREE"
    print(
        f"{truth.task.name:8} {truth.cell!s:28} expected {line['expected']:7} "
        f"accuracy {accuracy:.3f}{shown}  {verdict}  {seconds:.0f} s {outcome.message}"
    )
    return line


def search(name: str) -> dict[str, Any]:
    """Search over solvers and non-solvers, and say whom the search picked."""
    catalog = load_catalog()
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.yaml"
        path.write_text(SEARCHES[name])
        plan = plans_of(read_space(str(path), catalog), catalog)[0]
    began = time.perf_counter()
    with open_store("sqlite://") as store, InlineBackend() as backend:
        run_study(plan, store, backend, lambda progress: None)
        record = store.find_study(plan.name)
        assert record is not None
        best = rank(store.history(record.id, "search"), plan.search.objectives, ())[0]
    line = {
        "search": name,
        "trials": plan.search.budget.trials,
        "picked": str(best.architecture.stages[0].blocks[0].cell),
        "accuracy": best.outcome.metric("accuracy"),
        "solver": (best.outcome.metric("accuracy") or 0.0) > SOLVED,
        "seconds": round(time.perf_counter() - began, 1),
    }
    print(f"search {name}: picked {line['picked']}, accuracy {line['accuracy']:.3f}")
    return line


def main() -> None:
    truths = [measure(truth) for truth in TRUTHS]
    searches = [search(name) for name in SEARCHES]
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"truths": truths, "searches": searches}, indent=2) + "\n")


if __name__ == "__main__":
    main()
