"""Trains one cell on one task of the matrix: the settings of the tasks, and what counts as solved.

The network is embedding, one block of the cell (two where a task is known to need two layers),
norm and linear head, width 32, without channel mixers. Learning rates are tried in turn until one
solves the task, each with as many steps more as the first had; of those tried the one that was best
on the validation split counts.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from archsearch.build import build
from archsearch.errors import ArchitectureError
from archsearch.execute.run_job import settled
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.catalog import Catalog
from archsearch.spec.settings import TaskSpec
from archsearch.tasks.open import open_task
from archsearch.train.fit import Diverged, fit
from archsearch.train.judge import judge

WIDTH = 32
LOOKS = 20  # at the validation split, each a chance to be done


@dataclass(frozen=True)
class Setting:
    """A task at one size, how to train on it, and where it counts as learned.

    ``metric`` beyond ``solved`` solves the task; where it is measured at a longer length,
    ``within`` is the metric at the length of training, and reaching ``solved`` there alone is
    partial. Training ends early at ``enough`` on the validation split.
    """

    task: Layer
    metric: str
    solved: float
    enough: float
    steps: int
    rates: tuple[float, ...]
    blocks: int = 1
    batch: int = 64
    within: str | None = None

    def steps_at(self, rate: float) -> int:
        """The second learning rate has twice the steps of the first, and so on."""
        return self.steps * (1 + self.rates.index(rate))

    def reaches(self, value: float, level: float) -> bool:
        return value <= level if self.metric == "mse" else value >= level


SMALL = {"validation_size": 128, "test_size": 256}
LONG = {"length": 40, "test_length": 256, **SMALL}
SETTINGS = {
    "parity": Setting(
        Layer.of("parity", **LONG), "accuracy_long", 0.95, 0.99, 600, (0.01, 0.003, 0.001),
        within="accuracy",
    ),
    "s3": Setting(
        Layer.of("word_problem", group="S3", **LONG), "accuracy_long", 0.95, 0.99, 800,
        (0.01, 0.003, 0.001), within="accuracy",
    ),
    "mqar": Setting(
        Layer.of("mqar", pairs=8, vocab=64, length=32, **SMALL), "accuracy", 0.95, 0.98, 800,
        (0.006, 0.003, 0.0015), blocks=2,
    ),
    "selective copying": Setting(
        Layer.of("selective_copying", tokens=4, vocab=10, length=32, **SMALL), "accuracy", 0.95,
        0.99, 800, (0.006, 0.003, 0.0015), blocks=2,
    ),
    "adding": Setting(
        Layer.of("adding", length=100, **SMALL), "mse", 0.01, 0.008, 1000, (0.006, 0.002, 0.0007),
    ),
}  # fmt: skip


@cache
def installed() -> Catalog:
    return load_catalog()


def run(cell: Layer, task: str, seed: int, rate: float) -> dict[str, Any]:
    """One training at one learning rate, and its outcome."""
    try:
        tried = train(cell, SETTINGS[task], seed, rate)
    except ArchitectureError as error:
        return {"outcome": "not applicable", "reason": str(error)}
    return {"outcome": outcome(SETTINGS[task], tried.get("test", {})), **tried}


def best_rate(task: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of one seed's runs the one that did best on the validation split."""
    setting = SETTINGS[task]
    finite = [told for told in runs if told.get("validation")]
    if not finite:
        return runs[0]
    sign = -1 if setting.metric == "mse" else 1
    return max(finite, key=lambda told: sign * float(told["validation"][setting.metric]))


def train(cell: Layer, setting: Setting, seed: int, rate: float) -> dict[str, Any]:
    """One training to the end, or until the validation split is solved; both splits' metrics.

    What diverges has a reason in their place.
    """
    catalog = installed()
    task = open_task(TaskSpec(setting.task.name, catalog.complete("task", setting.task)))
    training = Layer.of(
        "adamw", lr=rate, steps=setting.steps_at(rate), batch=setting.batch, evaluations=LOOKS
    )
    blocks = (Block(cell),) * setting.blocks
    architecture = catalog.complete_architecture(
        Architecture(width=WIDTH, stages=(Stage(blocks),), training=training)
    )
    latest: dict[str, float] = {}
    steps = 0

    def report(step: int, metrics: Mapping[str, float]) -> bool:
        nonlocal steps
        steps = step
        latest.update(metrics)
        return not setting.reaches(metrics[setting.metric], setting.enough)

    began = time.process_time()
    with settled(seed):
        model = build(architecture, catalog, task.signature, seed)
        try:
            fit(model, task, architecture.training, architecture.sparsity, seed=seed, report=report)
            test = judge(model, task, "test")
        except Diverged as error:
            return {"steps": steps, "reason": str(error)}
    return {
        "steps": steps,
        "validation": _rounded(latest),
        "test": _rounded(test),
        "cpu_seconds": round(time.process_time() - began, 1),
    }


def outcome(setting: Setting, test: Mapping[str, float]) -> str:
    """``solved``, ``partial`` (at the length of training only), ``failed`` or ``diverged``."""
    if not test:
        return "diverged"
    if setting.reaches(test[setting.metric], setting.solved):
        return "solved"
    if setting.within and setting.reaches(test[setting.within], setting.solved):
        return "partial"
    return "failed"


def _rounded(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in metrics.items()}
