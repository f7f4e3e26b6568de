"""The Lorenz-96 ring: a chaotic system of known truth, to be forecast from its recent past."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from archsearch.errors import DataError
from archsearch.spec.settings import Objective, fingerprint
from archsearch.spec.signature import Signature
from archsearch.tasks.generated import arrays_digest, stream
from archsearch.tasks.metrics import mean_absolute_error, root_mean_squared_error
from archsearch.tasks.scaling import moments
from archsearch.tasks.task import Batch, Protocol, Split, Task

STEP = 0.01
SPIN_UP = 2000
WINDOWS = 16


class Lorenz96(Task):
    """Windows of independent trajectories, in units of the deviation over the training split.

    A trajectory starts near rest, is left alone for 20 time units (some 30 Lyapunov times) and
    gives 16 windows that do not overlap. The splits have trajectories and random streams of their
    own. The model puts out ``horizon`` states one after another, (B, horizon * sites).
    """

    kind = "generated"
    name = "lorenz96"
    metrics = (Objective("nrmse", "min"), Objective("mae", "min"))

    def __init__(self, options: Mapping[str, Any], protocol: Protocol = "search") -> None:
        self.options = dict(options)
        self.context, self.horizon = int(options["context"]), int(options["horizon"])
        self.sites = int(options["sites"])
        every = round(options["interval"] / STEP)
        if abs(every * STEP - options["interval"]) > 1e-9:
            raise DataError(f"lorenz96: interval must be a multiple of {STEP:g}")
        self.counts: dict[Split, int] = {
            "train": options["train_size"],
            "validation": options["validation_size"],
            "test": options["test_size"],
        }
        starts = np.concatenate([self._starts(split) for split in self.counts])
        samples = WINDOWS * (self.context + self.horizon)
        raw = trajectories(starts, options["forcing"], samples, every)
        mean, deviation = moments(raw[: -(-self.counts["train"] // WINDOWS)].reshape(-1, 1)[:, 0])
        self.states = ((raw - mean) / deviation).astype(np.float32)
        self.rows = self._rows()
        if protocol == "confirm":
            self.rows["train"] = np.concatenate([self.rows["train"], self.rows["validation"]])
        self.signature = Signature(
            "values",
            self.sites,
            "value",
            self.horizon * self.sites,
            every_step=False,
            length=self.context,
        )
        self.fingerprint = fingerprint(
            {"task": self.name, "options": self.options, "data": arrays_digest(self.states)}
        )

    def batch(self, rng: np.random.Generator, size: int, progress: float) -> Batch:
        rows = self.rows["train"]
        return self.gather(rng.choice(rows, min(size, len(rows)), replace=False))

    def evaluation(self, split: Split, size: int = 256) -> Iterator[Batch]:
        rows = self.rows[split]
        for start in range(0, len(rows), size):
            yield self.gather(rows[start : start + size])

    def gather(self, rows: np.ndarray) -> Batch:
        """Windows by number; window w is part w % 16 of trajectory w // 16."""
        trajectory, part = rows // WINDOWS, rows % WINDOWS
        span = self.context + self.horizon
        window = self.states[trajectory[:, None], part[:, None] * span + np.arange(span)]
        inputs, targets = window[:, : self.context], window[:, self.context :]
        lengths = np.full(len(rows), self.context, dtype=np.int64)
        return Batch(inputs, lengths, targets.reshape(len(rows), -1), rows=rows)

    def score(self, predictions: list[np.ndarray], batches: list[Batch]) -> dict[str, float]:
        said = np.concatenate(predictions).astype(np.float64)
        wanted = np.concatenate([batch.targets for batch in batches]).astype(np.float64)
        return {
            "nrmse": root_mean_squared_error(said, wanted),
            "mae": mean_absolute_error(said, wanted),
        }

    def chance(self) -> dict[str, float]:
        return self.baselines("train")["climatology"]

    def baselines(self, split: Split = "test") -> dict[str, dict[str, float]]:
        batches = list(self.evaluation(split))
        rules = {
            "persistence": [np.tile(batch.inputs[:, -1], (1, self.horizon)) for batch in batches],
            "climatology": [np.zeros_like(batch.targets) for batch in batches],
        }
        return {name: self.score(said, batches) for name, said in rules.items()}

    def preparation(self) -> dict[str, Any]:
        return {"kind": self.kind, "task": self.name, "signature": self.signature.to_plain()}

    def describe(self) -> dict[str, Any]:
        return {
            "task": self.name,
            "data": "drawn on the spot",
            **{split: len(rows) for split, rows in self.rows.items()},
            "context": self.context,
            "horizon": self.horizon,
            "inputs": self.signature.channels,
            "outputs": self.signature.outputs,
            "notes": [],
        }

    def _starts(self, split: Split) -> np.ndarray:
        """Initial states (trajectories, sites) of one split: at rest, but for small noise."""
        count = -(-self.counts[split] // WINDOWS)
        rng = stream(self.name, self.options["data_seed"], split, self.sites)
        return self.options["forcing"] + STEP * rng.standard_normal((count, self.sites))

    def _rows(self) -> dict[Split, np.ndarray]:
        rows: dict[Split, np.ndarray] = {}
        first = 0
        for split, count in self.counts.items():
            rows[split] = first + np.arange(count)
            first += -(-count // WINDOWS) * WINDOWS
        return rows


def trajectories(
    starts: np.ndarray, forcing: float, samples: int, every: int, spin_up: int = SPIN_UP
) -> np.ndarray:
    """States (n, samples, sites), one each ``every`` Runge-Kutta steps of 0.01, from (n, sites).

    Fourth order; the first ``spin_up`` steps are not kept.
    """
    state = starts.astype(np.float64)
    for _ in range(spin_up):
        state = runge_kutta(state, forcing)
    found = np.empty((len(starts), samples, starts.shape[1]))
    for sample in range(samples):
        found[:, sample] = state
        for _ in range(every):
            state = runge_kutta(state, forcing)
    return found


def runge_kutta(state: np.ndarray, forcing: float, step: float = STEP) -> np.ndarray:
    """One classical fourth-order step."""
    a = tendency(state, forcing)
    b = tendency(state + 0.5 * step * a, forcing)
    c = tendency(state + 0.5 * step * b, forcing)
    d = tendency(state + step * c, forcing)
    return state + (step / 6) * (a + 2 * b + 2 * c + d)


def tendency(state: np.ndarray, forcing: float) -> np.ndarray:
    """dX_i / dt = (X_(i+1) - X_(i-2)) X_(i-1) - X_i + F on a ring, for (.., sites)."""
    ring = np.concatenate([state[..., -2:], state, state[..., :1]], axis=-1)
    return (ring[..., 3:] - ring[..., :-3]) * ring[..., 1:-2] - state + forcing
