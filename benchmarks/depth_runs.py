"""The networks of depth.py, and the training of one of them.

Blocks of attention and a perceptron, all of one width and trained alike on a task, so that only
their number, how often they are applied and who stops differ.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch

from archsearch.build import Model, build
from archsearch.depth.looping import looping
from archsearch.execute.run_job import settled
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import NONE, Architecture, Block, Layer, Stage
from archsearch.spec.catalog import Catalog
from archsearch.spec.settings import TaskSpec
from archsearch.tasks.open import open_task
from archsearch.tasks.task import Batch, Task
from archsearch.train.fit import Diverged, fit
from archsearch.train.judge import evaluating, judge
from archsearch.train.tensors import device_of, tensors

WIDTH, LOOPS = 48, 4
LOOKS = 4
OTHER_LOOPS = (1, 2, 4, 6, 8)
BINS = 3  # easy, middling and hard sequences


@dataclass(frozen=True)
class Kind:
    """So many blocks with their own weights, applied so often."""

    blocks: int
    loops: int = 1
    halting: Layer = NONE


SMALL, LOOPED, DEEP, TWICE = "1 block", "1 block x 4", "4 blocks", "1 block x 8"
NETWORKS = {
    SMALL: Kind(1),
    LOOPED: Kind(1, LOOPS),
    DEEP: Kind(LOOPS),
    "varied": Kind(1, LOOPS, Layer("varied")),
    "supervised": Kind(1, LOOPS, Layer("supervised")),
    "act": Kind(1, LOOPS, Layer("act")),
    "ponder": Kind(1, LOOPS, Layer("ponder")),
    TWICE: Kind(1, 2 * LOOPS),
}
PLAIN = (SMALL, LOOPED, DEEP)
HALTING = tuple(name for name, kind in NETWORKS.items() if kind.halting != NONE)


@dataclass(frozen=True)
class Setting:
    """A task and how networks are trained on it; higher is better where the metric is accuracy.

    ``near`` are networks that see two steps back in a block and read the input in every loop: the
    later a step, the more loops its answer takes. With ``numbered`` each step knows its number, so
    that before the first loop it can be seen how many there have to be.
    """

    task: Layer
    metric: str
    steps: int
    rate: float = 0.003
    near: bool = False
    numbered: bool = True
    price: float = 0.003  # of a loop at a position, where "act" counts them

    def halting(self, kind: Kind) -> Layer:
        return Layer.of("act", weight=self.price) if kind.halting.name == "act" else kind.halting

    def loops(self, kind: Kind) -> int:
        """Of the near ones, who halts by position may take twice as many."""
        by_position = kind.halting.name in ("act", "ponder")
        return 2 * kind.loops if self.near and by_position else kind.loops

    @property
    def cell(self) -> Layer:
        return Layer.of("attention", pattern="window", window=3) if self.near else ATTENTION

    @property
    def embed(self) -> Layer:
        return Layer.of("linear", positions="sinusoidal" if self.numbered else "none")

    @property
    def tie(self) -> Layer:
        return Layer("injected" if self.near else "shared")


ATTENTION = Layer("attention")
NEAR, NUMBERED = "near parity", "numbered parity"
TASKS = {
    "parity": Setting(Layer.of("parity", length=16, test_length=24), "accuracy", 1200),
    "S3": Setting(Layer.of("word_problem", group="S3", length=10), "accuracy", 1000),
    "S5": Setting(Layer.of("word_problem", group="S5", length=6), "accuracy", 1500),
    "listops": Setting(Layer.of("listops", length=30, depth=4, arguments=3), "accuracy", 700),
    "sudoku": Setting(Layer.of("sudoku", givens=5, hints=5), "accuracy", 900),
    "adding": Setting(Layer.of("adding", length=40), "mse", 400, 0.002),
    NEAR: Setting(
        Layer.of("parity", length=12, test_length=24), "accuracy", 1500, near=True,
        numbered=False, price=1e-4,
    ),
    NUMBERED: Setting(Layer.of("parity", length=12), "accuracy", 1500, near=True, price=0.01),
}  # fmt: skip
BATCH = 32
DEPTH_FREE = ("adding",)
# of networks that halt, tasks with harder and easier sequences or steps
STOPPING = {name: ("sudoku", NEAR) for name in ("varied", "supervised")} | {
    name: ("listops", "sudoku", NEAR, NUMBERED) for name in ("act", "ponder")
}


def wanted(network: str, task: str) -> bool:
    """Who halts is asked of where sequences differ in how hard they are; all else of all tasks.

    Beside who halts on numbered steps stand all its loops, and half of them.
    """
    if network in HALTING:
        return task in STOPPING[network]
    return network in ((LOOPED, TWICE) if task == NUMBERED else PLAIN)


@cache
def installed() -> Catalog:
    return load_catalog()


@cache
def opened(name: str) -> Task:
    layer = TASKS[name].task
    return open_task(TaskSpec(layer.name, installed().complete("task", layer)))


def run(network: str, task: str, seed: int) -> dict[str, Any]:
    """One training, judged on the test split; what diverges has a reason in its place."""
    torch.set_num_threads(1)
    kind, setting = NETWORKS[network], TASKS[task]
    metric = setting.metric
    block = Block(setting.cell, channel=Layer("mlp"))
    stage = Stage(
        (block,), kind.blocks, setting.loops(kind), tie=setting.tie, halting=setting.halting(kind)
    )
    training = Layer.of(
        "adamw", lr=setting.rate, steps=setting.steps, batch=BATCH, evaluations=LOOKS
    )
    architecture = installed().complete_architecture(
        Architecture(width=WIDTH, stages=(stage,), embed=setting.embed, training=training)
    )
    latest: dict[str, float] = {}

    def report(_: int, metrics: Mapping[str, float]) -> bool:
        latest.update(metrics)
        return True

    began = time.process_time()
    with settled(seed):
        model = build(architecture, installed(), opened(task).signature, seed)
        try:
            fit(
                model, opened(task), architecture.training, architecture.sparsity,
                seed=seed, report=report,
            )  # fmt: skip
            test = judge(model, opened(task), "test")
        except Diverged as error:
            return {"reason": str(error)}
        told = {
            "parameters": sum(p.numel() for p in model.stages.parameters()),
            "validation": round(latest[metric], 5),
            "test": round(test[metric], 5),
            "all": {name: round(value, 5) for name, value in test.items()},
        }
        if kind.loops > 1:
            told["by_loops"] = by_loops(model, task, metric)
        if network in ("act", "ponder"):
            told["loops_by_difficulty"] = loops_by_difficulty(model, task)
        if task == NUMBERED:
            told["by_step"] = by_step(model, task)
    return told | {"cpu_seconds": round(time.process_time() - began, 1)}


def by_loops(model: Model, task: str, metric: str) -> dict[str, float]:
    """The metric on the test split with fewer and with more loops than in training."""
    found = {}
    for loops in OTHER_LOOPS:
        with looping(model, loops):
            found[str(loops)] = round(judge(model, opened(task), "test")[metric], 5)
    return found


def loops_by_difficulty(model: Model, task: str) -> list[list[float]]:
    """Mean difficulty and mean loops of the easy, middling and hard third of the test split.

    Of whole sequences, by what each asks for; of single steps where blocks see little.
    """
    hard: list[float] = []
    loops: list[float] = []
    with evaluating(model), torch.inference_mode():
        for batch in opened(task).evaluation("test"):
            moved = tensors(batch, device_of(model))
            (used,) = model._stages(moved.inputs, moved.lengths)[1]
            taken, real = used.loops.numpy(), answered(batch)
            if TASKS[task].near:
                hard += np.nonzero(real)[1].astype(float).tolist()
                loops += taken[real].tolist()
            else:
                hard += difficulty(task, batch)
                loops += ((taken * real).sum(1) / real.sum(1)).tolist()
    order = np.argsort(hard, kind="stable")
    return [
        [round(float(np.mean(np.array(part)[rows])), 4) for part in (hard, loops)]
        for rows in np.array_split(order, BINS)
    ]


def by_step(model: Model, task: str) -> dict[str, list[float]]:
    """Mean loops and accuracy of each step of the test split; sequences of one length."""
    loops, right = [], []
    with evaluating(model), torch.inference_mode():
        for batch in opened(task).evaluation("test"):
            moved = tensors(batch, device_of(model))
            (used,) = model._stages(moved.inputs, moved.lengths)[1]
            loops.append(used.loops.numpy())
            right.append(model(moved.inputs, moved.lengths)[0].argmax(-1).numpy() == batch.targets)
    found = {"loops": np.concatenate(loops), "accuracy": np.concatenate(right)}
    return {name: [round(float(each), 4) for each in rows.mean(0)] for name, rows in found.items()}


def difficulty(task: str, batch: Batch) -> list[float]:
    """Cells to fill in, or operations to work out, of each sequence."""
    if task == "sudoku":
        assert batch.mask is not None
        return batch.mask.sum(1).astype(float).tolist()
    operations = (batch.inputs >= 10) & (batch.inputs < 14)
    return operations.sum(1).astype(float).tolist()


def answered(batch: Batch) -> np.ndarray:
    """(B, T): the positions that are judged, or all real ones."""
    if batch.mask is not None:
        return batch.mask
    return np.arange(batch.inputs.shape[1]) < batch.lengths[:, None]
