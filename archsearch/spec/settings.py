"""What a space file asks for besides its space: tasks, search, confirmation, execution."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

from archsearch.spec.architecture import Layer, to_plain

# what is known of every model beside its task's metrics: counted, and timed on the machine
MEASURED = ("params", "flops", "state", "density", "density_all", "sparse_flops", "bytes")
TIMED = ("latency_ms", "step_ms", "peak_memory_mb")
# what no model can leave: shares of what is judged, and errors
_SHARES = ("accuracy", "balanced_accuracy", "solved")
_ERRORS = ("loss", "bits_per_character", "rmse", "mae", "mase")
# the area under a curve along depth: known of models that are asked for it
DEPTH_AUC = "depth_auc"


@dataclass(frozen=True)
class TaskSpec:
    """One task by name, with its options; ``label`` is how the study and its tables call it."""

    label: str
    layer: Layer

    def to_plain(self) -> dict[str, Any]:
        return {"label": self.label, "layer": to_plain(self.layer)}


@dataclass(frozen=True)
class Objective:
    """A metric and the direction in which it is better."""

    metric: str
    direction: Literal["max", "min"]

    @property
    def extent(self) -> tuple[float, float]:
        """The least and the largest value that the metric can have, as far as that is known."""
        name = self.metric.removesuffix("_long")
        low = 0.0 if name in (*_SHARES, *_ERRORS, *MEASURED, *TIMED) else -math.inf
        return low, 1.0 if name in (*_SHARES, "r2") else math.inf

    @property
    def widest(self) -> float:
        """The largest difference that two of its values can have."""
        low, high = self.extent
        return high - low

    def loss(self, value: float) -> float:
        """The value with its sign turned so that less is better."""
        return -value if self.direction == "max" else value


@dataclass(frozen=True)
class Constraint:
    """A bound that an acceptable architecture keeps: ``params <= 200000``."""

    metric: str
    operator: Literal["<=", ">=", "<", ">"]
    bound: float

    def holds(self, value: float) -> bool:
        match self.operator:
            case "<=":
                return value <= self.bound
            case ">=":
                return value >= self.bound
            case "<":
                return value < self.bound
            case ">":
                return value > self.bound

    def excess(self, value: float) -> float:
        """How far outside the bound, zero or less when it holds."""
        return value - self.bound if self.operator in ("<=", "<") else self.bound - value


@dataclass(frozen=True)
class Budget:
    """When the search ends: whichever of these comes first; seconds and core-seconds."""

    trials: int | None = 60
    time: float | None = None
    cpu_seconds: float | None = None
    gpu_seconds: float | None = None


@dataclass(frozen=True)
class SearchSettings:
    """Who proposes, how long, and what counts as better.

    Empty ``objectives`` mean the primary metric of the task.
    """

    sampler: Layer = Layer("tpe")
    budget: Budget = field(default_factory=Budget)
    seed: int = 0
    lag: int = 8
    objectives: tuple[Objective, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    stopping: Layer = Layer("none")

    def asks(self, metric: str) -> bool:
        """Whether an objective or a constraint is on it."""
        asked = [each.metric for each in self.objectives]
        return metric in asked or metric in [each.metric for each in self.constraints]


@dataclass(frozen=True)
class ConfirmSettings:
    """How the answer is judged: finalists against baselines, over paired seeds, on test.

    Where the best finalist has learned which weights to keep, it is judged against as many random
    ``masks`` of its sizes, too.
    """

    finalists: int = 3
    seeds: int = 5
    baselines: tuple[str, ...] = ("lstm", "gru", "transformer")
    masks: int = 3


@dataclass(frozen=True)
class Needs:
    """What one trial occupies: cores of a cluster, accelerators (or shares of one), bytes."""

    cpus: float | None = None
    gpus: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class ExecutionSettings:
    """Where and within which limits trials run.

    None of it changes what a trial computes, but whether it does so on an accelerator.

    ``address`` is that of a Ray cluster. ``cells`` are the needs of trials that have such a cell.
    With ``least_memory`` trials reserve what like ones used, no less than that, once it is known.
    """

    backend: str = "local"
    workers: int | None = None
    timeout: float | None = None
    memory: int | None = None
    address: str | None = None
    cpus: float | None = None
    gpus: float | None = None
    cells: tuple[tuple[str, Needs], ...] = ()
    least_memory: int | None = None

    @property
    def most_gpus(self) -> float:
        """The largest share of accelerators that any trial may ask for."""
        return self.needs([name for name, _ in self.cells])["gpus"]  # type: ignore[no-any-return]

    @property
    def accelerated(self) -> list[str]:
        """The cells that are trained on accelerators, ``*`` for all: by it numbers differ."""
        if self.gpus:
            return ["*"]
        return sorted(name for name, needs in self.cells if needs.gpus)

    def needs(self, cells: Collection[str]) -> dict[str, Any]:
        """What a job with these cells occupies: the most that any of them does."""
        own = Needs(self.cpus, self.gpus, self.memory)
        found = [own, *(needs for name, needs in self.cells if name in cells)]

        def most(key: str) -> Any:
            return max((v for n in found if (v := getattr(n, key)) is not None), default=None)

        memory, cpus, gpus = most("memory"), most("cpus"), most("gpus")
        return {"memory": memory, "cpus": 1.0 if cpus is None else cpus, "gpus": gpus or 0.0}


def fingerprint(plain: Any) -> str:
    """Sixteen hexadecimal digits that name plain data, whatever the order of its keys."""
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def derived_seed(*parts: int | str) -> int:
    """A seed below 2^63 that is a pure function of its parts."""
    digest = hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def confirm_seeds(seed: int, count: int) -> list[int]:
    """The seeds that finalists and baselines of a study with this seed are trained over."""
    return [derived_seed(seed, "confirm", number) for number in range(count)]
