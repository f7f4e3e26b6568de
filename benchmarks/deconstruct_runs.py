"""The networks that are taken apart, and the training of one of them.

Every network is an embedding, one block of width 24, a norm and a linear head. The block has a
sequence mixer and an MLP, each with a norm before it and the same gate after it. What differs is
the cell, the gate, and whether the cell has attention or recurrence added, and with it the number
of parameters. All train alike.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from archsearch.build import build
from archsearch.execute.run_job import settled
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.catalog import Catalog
from archsearch.spec.settings import TaskSpec
from archsearch.tasks.open import open_task
from archsearch.train.fit import Diverged, fit
from archsearch.train.judge import judge

WIDTH = 24
STEPS, BATCH, RATE, LOOKS = 300, 32, 0.004, 6
CORES = ("lstm", "gru", "rhn")
# none, learned per feature, learned from the input
GATES = ("additive", "learned_rate", "input_dependent")
HEADS = 2


@dataclass(frozen=True)
class Network:
    """A cell, what was added to it, and the gate around it."""

    cell: str
    added: str
    gate: str

    @property
    def name(self) -> str:
        return f"{self.cell}{f' + {self.added}' if self.added else ''}, {self.gate}"

    @property
    def layer(self) -> Layer:
        if self.cell in CORES:
            if not self.added:
                return Layer(self.cell)
            return Layer.of("attentive_rnn", core=self.cell, window=16, heads=HEADS)
        if not self.added:
            return Layer.of("attention", heads=HEADS)
        core, place = self.added.split()
        return Layer.of("recurrent_attention", core=core, place=place, heads=HEADS)


TRANSFORMER = "transformer"
RECURRENCES = ("gru before", "gru after")
NETWORKS = (
    *(Network(core, added, gate) for core in CORES for added in ("", "attention")
      for gate in GATES),
    *(Network(TRANSFORMER, added, gate) for added in ("", *RECURRENCES)
      for gate in ("additive", "input_dependent")),
)  # fmt: skip

# name -> task, and the metric that is smaller for better networks
TASKS = {
    "lorenz96": (
        Layer.of("lorenz96", sites=8, context=16, horizon=4, train_size=2048), "nrmse"),
    "solar": (
        Layer.of("forecasting", data="aeon:solar", context=48, horizon=6, season=48), "mase"),
}  # fmt: skip


@cache
def installed() -> Catalog:
    return load_catalog()


def run(network: Network, task: str, seed: int) -> dict[str, Any]:
    """One training, judged on the test split; what diverges has a reason in its place."""
    torch.set_num_threads(1)
    catalog = installed()
    opened = open_task(TaskSpec(TASKS[task][0].name, catalog.complete("task", TASKS[task][0])))
    gate = Layer(network.gate)
    block = Block(network.layer, gate=gate, channel=Layer.of("mlp", expand=2.0))
    training = Layer.of("adamw", lr=RATE, steps=STEPS, batch=BATCH, evaluations=LOOKS)
    architecture = catalog.complete_architecture(
        Architecture(width=WIDTH, stages=(Stage((block,)),), training=training)
    )
    latest: dict[str, float] = {}

    def report(_: int, metrics: Mapping[str, float]) -> bool:
        latest.update(metrics)
        return True

    began = time.process_time()
    with settled(seed):
        model = build(architecture, catalog, opened.signature, seed)
        params = sum(parameter.numel() for parameter in model.parameters())
        try:
            fit(
                model, opened, architecture.training, architecture.sparsity,
                seed=seed, report=report,
            )  # fmt: skip
            test = judge(model, opened, "test")
        except Diverged as error:
            return {"params": params, "reason": str(error)}
    metric = TASKS[task][1]
    return {
        "params": params,
        "validation": round(latest[metric], 5),
        "test": round(test[metric], 5),
        "cpu_seconds": round(time.process_time() - began, 1),
    }
