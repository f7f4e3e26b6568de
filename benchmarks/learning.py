"""Does learning at test time help where the world changes, and what does it cost where it does not?

    flock /tmp/bench.lock python benchmarks/learning.py    # some minutes on one core
    python benchmarks/learning.py --seeds 1 --steps 120

A GRU is trained on a series and then reads another stretch of it, which it has not seen. Lorenz-96:
eight sites, the next state is asked for, and the forcing goes from 8 to 11 after a third. Seasonal:
the next six values of a period of 24 steps with autocorrelated noise; level, amplitude and phase
change. Each prediction is made before its truth is known (prequential), frozen and with each
learner at its default settings; the same stretches without the change say what learning costs. The
errors are mean absolute ones after the first third, in units of the training data's deviation, and
differences are paired over seeds. The rates were chosen on Lorenz-96 with seed 100, which is not
reported. Writes benchmarks/results/learning.json, anew after each network.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from overhead import machine
from rich.console import Console
from rich.table import Table

from archsearch.build import Model, build
from archsearch.plugins import load_catalog
from archsearch.select.statistics import paired
from archsearch.serve.bundle import Bundle, write_bundle
from archsearch.serve.learning import LearningStream
from archsearch.serve.prequential import prequential
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.learnsettings import MemorySettings, Settings, StateSettings
from archsearch.spec.settings import TaskSpec
from archsearch.spec.signature import Signature
from archsearch.tasks.lorenz96 import trajectories
from archsearch.tasks.prequential import Told

RESULTS = Path(__file__).parent / "results" / "learning.json"
LEARNERS: dict[str, Settings] = {
    "state": StateSettings(),
    "memory": MemorySettings(),
}
ARCHITECTURE = Architecture(32, (Stage((Block(Layer("gru"), channel=Layer("mlp")),)),))
SITES, AHEAD, WINDOW, TRAINED = 8, 6, 48, 4000


class Next(Told):
    """All outputs of a step are known one step later."""

    def arriving(self, step: int) -> Iterator[tuple[int, np.ndarray]]:
        if step:
            yield 0, self.targets[step - 1]


def lorenz(rng: np.random.Generator, steps: int, change: bool) -> tuple[np.ndarray, np.ndarray]:
    """A stretch to train on and one to predict, (steps, sites), in units of the first."""
    start = 8 + 0.01 * rng.standard_normal((1, SITES))
    train = trajectories(start, 8.0, TRAINED, 5)[0]
    other = 8 + 0.01 * rng.standard_normal((1, SITES))
    before = trajectories(other, 8.0, steps // 3 + 1, 5)
    after = trajectories(before[:, -1], 11.0 if change else 8.0, steps, 5, spin_up=0)
    stream = np.concatenate([before[0, :-1], after[0]])[: steps + 1]
    return (train - train.mean()) / train.std(), (stream - train.mean()) / train.std()


def seasonal(rng: np.random.Generator, steps: int, change: bool) -> tuple[np.ndarray, np.ndarray]:
    """The same for one channel; level, amplitude and phase change after a third."""

    def drawn(count: int, changed: int | None) -> np.ndarray:
        noise, wave = np.zeros(count), np.arange(count) * 2 * math.pi / 24
        shocks = 0.2 * rng.standard_normal(count)
        for step in range(1, count):
            noise[step] = 0.7 * noise[step - 1] + shocks[step]
        values = np.sin(wave) + 0.4 * np.sin(2 * wave) + noise
        if changed is not None:
            late = np.arange(count) >= changed
            values = np.where(late, 1.0 + 1.5 * np.sin(wave + 1) + noise, values)
        return values[:, None]

    train = drawn(TRAINED, None)
    stream = drawn(steps + AHEAD, steps // 3 if change else None)
    return (train - train.mean()) / train.std(), (stream - train.mean()) / train.std()


def told(name: str, values: np.ndarray) -> Told:
    values = values.astype(np.float32)
    if name == "lorenz96":
        return Next(values[:-1], values[1:])
    ahead = np.arange(1, len(values) - AHEAD + 1)[:, None] + np.arange(AHEAD)
    return Told(values[:-AHEAD], values[:, 0][ahead])


def trained(data: Told, seed: int, updates: int = 300) -> tuple[Model, Signature]:
    """AdamW on windows, with a target at every step and a cosine decay."""
    outputs, channels = data.targets.shape[1], data.inputs.shape[1]
    signature = Signature("values", channels, "value", outputs, every_step=True, length=WINDOW)
    catalog = load_catalog()
    model = build(catalog.complete_architecture(ARCHITECTURE), catalog, signature, seed)
    rng = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, updates)
    for _ in range(updates):
        starts = rng.integers(0, len(data.inputs) - WINDOW, 32)[:, None] + np.arange(WINDOW)
        said, _ = model(torch.from_numpy(data.inputs[starts]))
        loss = (said - torch.from_numpy(data.targets[starts])).square().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    return model.eval(), signature


def exported(folder: Path, model: Model, signature: Signature) -> Bundle:
    catalog = load_catalog()
    task = TaskSpec("stream", Layer.of("forecasting", data="stream.csv"))
    return write_bundle(
        folder, model.state_dict(), ARCHITECTURE, signature, {}, {}, catalog, task=task
    )


def errors(answers: np.ndarray, data: Told) -> float:
    """After the first third, which learners may use to settle."""
    late = slice(len(answers) // 3, None)
    return float(np.abs(answers[late] - data.targets[late]).mean())


def study(name: str, seed: int, steps: int, learners: dict[str, Settings]) -> dict[str, Any]:
    """The errors of one network on a stretch with and without the change."""
    draw = lorenz if name == "lorenz96" else seasonal
    found: dict[str, Any] = {"data": name, "seed": seed}
    with TemporaryDirectory() as aside:
        for change in (False, True):
            train, values = draw(np.random.default_rng(seed), steps, change)
            data = told(name, values)
            if not change:
                made = exported(Path(aside) / "best", *trained(told(name, train), seed))
            rows: dict[str, Any] = {}
            for label, settings in learners.items():
                stream = LearningStream(made, settings)
                before, began = stream.digest, time.process_time()
                run = prequential(stream, data.inputs, data.arriving)
                spent = 1000 * (time.process_time() - began) / len(data.inputs)
                stream.forget()
                rows[label] = {
                    "error": errors(run.learning, data),
                    "learned": run.learned,
                    "refused": run.refused,
                    "held": run.held,
                    "moved": round(run.moved, 4),
                    "cpu_ms_per_step": round(spent, 2),
                    "forgot_to_the_bit": stream.digest == before,
                }
            rows["frozen"] = {"error": errors(run.frozen, data)}
            found["change" if change else "no change"] = rows
    return found


def summary(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Relative differences from the frozen network, paired over seeds."""
    lines = []
    for name in dict.fromkeys(run["data"] for run in runs):
        for kind in ("change", "no change"):
            mine = [run[kind] for run in runs if run["data"] == name]
            for label in mine[0]:
                pairs = [row[label]["error"] / row["frozen"]["error"] - 1 for row in mine]
                told_of = paired(pairs)
                lines.append(
                    {
                        "data": name,
                        "stretch": kind,
                        "learner": label,
                        "error": float(np.mean([row[label]["error"] for row in mine])),
                        "difference": told_of.mean,
                        "interval": told_of.interval,
                        "seeds": len(pairs),
                    }
                )
    return lines


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--seeds", type=int, default=3)
    options.add_argument("--steps", type=int, default=240)
    options.add_argument("--out", type=Path, default=RESULTS)
    chosen = options.parse_args()
    torch.set_num_threads(1)
    began = time.process_time()
    runs: list[dict[str, Any]] = []
    for seed in range(chosen.seeds):
        for name in ("lorenz96", "seasonal"):
            runs.append(study(name, seed, chosen.steps, LEARNERS))
            lines = summary(runs)
            results = {
                "machine": machine(),
                "steps": chosen.steps,
                "cpu_seconds": round(time.process_time() - began),
                "summary": lines,
                "runs": runs,
            }
            chosen.out.write_text(json.dumps(results, indent=1) + "\n")
    table = Table("data", "stretch", "learner", "error", "against frozen", "95 % interval")
    for line in lines:
        low, high = line["interval"] or (math.nan, math.nan)
        table.add_row(
            line["data"], line["stretch"], line["learner"], f"{line['error']:.4f}",
            f"{line['difference']:+.1%}", f"{low:+.1%} to {high:+.1%}",
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
