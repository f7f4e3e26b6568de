"""What a training does for a network that is to be cut short: exits, layers left out, or both.

    python benchmarks/depth_training.py             # about ten minutes on one core

Parity of two to sixteen bits and digits as eight steps of eight numbers, as in adapt.py, trained
with the options `exits` and `drop`. Of each network the accuracy on test, `depth_auc` on held-out
data and on test, and for three policies how many layers are saved at no loss: the cheapest place of
the knob at which the answers on held-out data are as good as the network's within the 95 % interval
of a paired bootstrap, measured on test. Writes benchmarks/results/depth_training.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from adapt_runs import ATTENTION, Data, digits, parity, stack
from overhead import machine
from rich.console import Console
from rich.table import Table

from archsearch.adapt.curve import DRAWS, interval, resampled
from archsearch.adapt.examples import Examples
from archsearch.adapt.families import cascade
from archsearch.adapt.measured import measure
from archsearch.adapt.policies.cascade import Patience, prefix_rungs
from archsearch.adapt.policies.policy import Policy
from archsearch.adapt.policies.static import truncations
from archsearch.adapt.walk import Walk
from archsearch.build import Model, build
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import NONE, Layer
from archsearch.spec.settings import DEPTH_AUC, Objective
from archsearch.tasks.task import Batch, Split, Task
from archsearch.train.along_depth import along_depth
from archsearch.train.fit import fit

RESULTS = Path(__file__).parent / "results" / "depth_training.json"
NETWORKS = {
    "parity of mixed lengths": (parity, stack(Layer("gru"), 4, 24), 300),
    "digits": (digits, ATTENTION, 350),
}
TRAININGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "exits": {"exits": "linear"},
    "drop 0.5": {"drop": 0.5},
    "exits and drop 0.5": {"exits": "linear", "drop": 0.5},
}


class Given(Task):
    """Classes of sequences that are at hand; ``held`` is the validation split."""

    kind = "generated"
    metrics = (Objective("accuracy", "max"),)
    fingerprint = "given"

    def __init__(self, data: Data) -> None:
        self.signature = data.train.signature
        self.parts = {"train": data.train, "validation": data.held, "test": data.test}

    def batch(self, rng: np.random.Generator, size: int, progress: float) -> Batch:
        train = self.parts["train"]
        return _batch(train.take(torch.from_numpy(rng.integers(len(train), size=size))))

    def evaluation(self, split: Split, size: int = 256) -> Iterator[Batch]:
        return map(_batch, self.parts[split].batches())

    def score(self, predictions: list[np.ndarray], batches: list[Batch]) -> dict[str, float]:
        said = np.concatenate([each.argmax(-1) for each in predictions])
        return {"accuracy": float((said == np.concatenate([b.targets for b in batches])).mean())}

    def chance(self) -> dict[str, float]:
        return {"accuracy": 1 / self.signature.outputs}

    def baselines(self, split: Split = "test") -> dict[str, dict[str, float]]:
        return {}

    def preparation(self) -> dict[str, Any]:
        return {}

    def describe(self) -> dict[str, Any]:
        return {}


def _batch(part: Examples) -> Batch:
    lengths = torch.full((len(part),), part.x.shape[1]) if part.lengths is None else part.lengths
    return Batch(part.x.numpy(), lengths.numpy(), part.targets.numpy())


def trained(task: Task, network: str, options: dict[str, Any], seed: int) -> Model:
    _, architecture, steps = NETWORKS[network]
    catalog = load_catalog()
    training = Layer.of("adamw", steps=steps, lr=3e-3, evaluations=1, **options)
    model = build(catalog.complete_architecture(architecture), catalog, task.signature, seed)
    torch.manual_seed(seed)
    fit(model, task, training, NONE, seed=seed, report=lambda step, metrics: True, split=None)
    return model.eval().requires_grad_(False)


def saved(policy: Policy, walk: Walk, data: Data, seed: int) -> dict[str, Any]:
    """Layers saved where nothing is lost on held-out data, and what is lost there on test."""
    held, test = measure(policy, walk, data.held), measure(policy, walk, data.test)
    shares = resampled(len(data.held), DRAWS, seed)
    compute = held.compute.mean(0)
    safe = [
        place
        for place in range(policy.settings)
        if interval(shares @ (held.score[:, place] - held.score[:, 0]))[1] >= 0
    ]
    place = min(safe, key=lambda each: compute[each])
    difference = test.score[:, place] - test.score[:, 0]
    return {
        "saved": round(1 - float(test.compute[:, place].mean()), 4),
        "gain": round(float(difference.mean()), 4),
        "interval": list(interval(resampled(len(data.test), DRAWS, seed) @ difference)),
    }


def study(network: str, options: dict[str, Any], seed: int) -> dict[str, Any]:
    data = NETWORKS[network][0](seed)
    task = Given(data)
    model = trained(task, network, options, seed)
    walk = Walk(model)
    rungs = prefix_rungs(walk.depth)
    policies = {
        "prefix": truncations(walk.depth),
        "gap": cascade(walk, data.held, "gap", rungs),
        "patience": Patience(rungs),
    }
    objective = task.metrics[0]
    held, test = along_depth(model, task, "validation"), along_depth(model, task, "test")
    return {
        "seed": seed,
        "accuracy": test.metrics[-1]["accuracy"],
        DEPTH_AUC: held.area(objective, None),
        f"{DEPTH_AUC}_on_test": test.area(objective, None),
        "curve_on_test": [[round(c, 4), m["accuracy"]]
                          for c, m in zip(test.compute, test.metrics, strict=True)],
        "policies": {name: saved(policy, walk, data, seed) for name, policy in policies.items()},
    }  # fmt: skip


def show(out: Console, results: dict[str, Any]) -> None:
    for network, trainings in results.items():
        names = ("prefix", "gap", "patience")
        table = Table("training", "accuracy", DEPTH_AUC, *(f"{n} saves" for n in names),
                      title=f"{network}, on test, by seed")  # fmt: skip
        for training, runs in trainings.items():
            table.add_row(
                training,
                " ".join(f"{run['accuracy']:.3f}" for run in runs),
                " ".join(f"{run[f'{DEPTH_AUC}_on_test']:.3f}" for run in runs),
                *(
                    " ".join(
                        f"{run['policies'][n]['saved']:.0%} ({run['policies'][n]['gain']:+.3f})"
                        for run in runs
                    )
                    for n in names
                ),
            )
        out.print(table)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--out", type=Path, default=RESULTS)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    out = Console(width=140)
    results: dict[str, Any] = {name: {each: [] for each in TRAININGS} for name in NETWORKS}
    for seed in range(chosen.seeds):
        for network in NETWORKS:
            for training, given in TRAININGS.items():
                results[network][training].append(study(network, given, seed))
        show(out, results)
        plain = {"machine": machine(), "trainings": TRAININGS, "networks": results}
        chosen.out.write_text(json.dumps(plain, indent=1) + "\n")


if __name__ == "__main__":
    main()
