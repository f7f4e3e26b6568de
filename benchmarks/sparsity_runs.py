"""The networks of sparsity.py, and the training of one of them.

Embedding, one LSTM, norm and linear head; what is pruned are the two matrices of the LSTM. All
networks of a task train alike, so that only their width and their zeros differ.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import torch

from archsearch.build import build
from archsearch.execute.run_job import settled
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import NONE, Architecture, Block, Layer, Stage
from archsearch.spec.catalog import Catalog
from archsearch.spec.settings import TaskSpec
from archsearch.tasks.open import open_task
from archsearch.train.fit import Diverged, fit
from archsearch.train.judge import judge

DOCS = Path(__file__).parents[1] / "docs"
LARGE = 64
DENSITIES = (0.5, 0.2, 0.1, 0.05)
METHODS = ("random", "magnitude", "rigl")
PLACES = ("stages", "hidden", "input")
LOOKS = 4

# name -> task, its metric (higher is better where it is an accuracy), steps, batch, learning rate
TASKS: dict[str, tuple[Layer, str, int, int, float]] = {
    "reber": (Layer.of("reber", length=24, test_size=1024), "accuracy", 800, 64, 0.01),
    "text": (
        Layer.of("tokens", data=str(DOCS / "reliability.md"), context=64, warmup=8),
        "bits_per_character", 400, 16, 0.01,
    ),
}  # fmt: skip


def recurrent(width: int) -> int:
    """Weights of the two matrices of an LSTM that is as wide as its input."""
    return 8 * width**2


def narrow(density: float) -> int:
    """The width of the dense LSTM with as many weights as the large one has at this density."""
    return round(LARGE * density**0.5)


def sparse(method: str, density: float, which: str = "stages") -> Layer:
    return Layer.of(method, density=density, which=which)


def networks() -> dict[str, tuple[int, Layer]]:
    """Name to width and sparsity."""
    found: dict[str, tuple[int, Layer]] = {"dense": (LARGE, NONE)}
    for density in DENSITIES:
        found[f"narrow {density:g}"] = (narrow(density), NONE)
        for method in METHODS:
            found[f"{method} {density:g}"] = (LARGE, sparse(method, density))
    for which in PLACES:
        for density in DENSITIES:
            found[f"one_shot {which} {density:g}"] = (LARGE, sparse("one_shot", density, which))
    return found


@cache
def installed() -> Catalog:
    return load_catalog()


def run(network: str, task: str, seed: int) -> dict[str, Any]:
    """One training, judged on the test split; what diverges has a reason in its place."""
    torch.set_num_threads(1)
    catalog, (layer, metric, steps, batch, rate) = installed(), TASKS[task]
    opened = open_task(TaskSpec(layer.name, catalog.complete("task", layer)))
    width, sparsity = networks()[network]
    training = Layer.of("adamw", lr=rate, steps=steps, batch=batch, evaluations=LOOKS)
    architecture = catalog.complete_architecture(
        Architecture(
            width=width,
            stages=(Stage((Block(Layer("lstm")),)),),
            sparsity=sparsity,
            training=training,
        )
    )
    latest: dict[str, float] = {}

    def report(_: int, metrics: Mapping[str, float]) -> bool:
        latest.update(metrics)
        return True

    began = time.process_time()
    with settled(seed):
        model = build(architecture, catalog, opened.signature, seed)
        matrices = [
            p for name, p in model.named_parameters()
            if name.endswith((".input.weight", ".recurrent.weight"))
        ]  # fmt: skip
        try:
            fit(
                model, opened, architecture.training, architecture.sparsity,
                seed=seed, report=report,
            )  # fmt: skip
            test = judge(model, opened, "test")
        except Diverged as error:
            return {"reason": str(error)}
    return {
        "weights": sum(int(p.count_nonzero()) for p in matrices),
        "validation": round(latest[metric], 5),
        "test": round(test[metric], 5),
        "cpu_seconds": round(time.process_time() - began, 1),
    }
