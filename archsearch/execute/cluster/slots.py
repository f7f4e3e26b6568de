"""One actor of the pool as its driver sees it, and how much of a cluster one takes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

# beyond what the job itself may use: an idle worker with torch, its supervisor, the actor
IDLE_MEMORY = 512 << 20


@dataclass(frozen=True)
class Shape:
    """What an actor takes from its node; a job waits for one of its own shape."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory: int | None = None

    @staticmethod
    def of(plain: Mapping[str, Any]) -> Shape:
        """That of a job, or of a usual one by the execution settings."""
        cpus, gpus = plain.get("cpus"), plain.get("gpus")
        return Shape(1.0 if cpus is None else cpus, gpus or 0.0, plain.get("memory"))

    @property
    def options(self) -> dict[str, Any]:
        """As Ray's options of an actor."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, "memory": self._bytes}

    @property
    def resources(self) -> dict[str, float]:
        """As Ray counts them on a node."""
        return {"CPU": self.cpus, "GPU": self.gpus, "memory": self._bytes or 0}

    @property
    def words(self) -> str:
        """What it takes, for a person."""
        parts = (
            (self.cpus, "CPU"),
            (self.gpus, "GPU"),
            ((self._bytes or 0) / 2**30, "GiB of memory"),
        )
        return ", ".join(f"{value:.3g} {name}" for value, name in parts if value)

    @property
    def _bytes(self) -> int | None:
        return None if self.memory is None else self.memory + IDLE_MEMORY


@dataclass(eq=False)
class Slot:
    """``job`` is the number of what runs there since ``since``; ``ready`` once it has answered."""

    actor: Any
    shape: Shape
    name: str
    ready: bool = False
    job: int | None = None
    node: str = ""
    node_id: str = ""
    since: float = field(default_factory=time.monotonic)

    @property
    def idle(self) -> bool:
        return self.ready and self.job is None

    @property
    def seconds(self) -> float:
        """How long it has been what it is: starting, idle or busy."""
        return time.monotonic() - self.since

    @property
    def spent(self) -> tuple[tuple[str, float], ...]:
        """The timings of a job that was lost with it."""
        seconds = self.seconds
        gpus = (("gpu_seconds", self.shape.gpus * seconds),) if self.shape.gpus else ()
        return (("seconds", seconds), *gpus)

    def become(self, job: int | None) -> None:
        self.ready, self.job, self.since = True, job, time.monotonic()


def middle(shapes: Sequence[Shape], usual: Shape) -> Shape:
    """The usual shape with the mean memory of these, of which as many have room as of them all."""
    known = [shape.memory for shape in shapes if shape.memory is not None]
    if usual.memory is None or not known:
        return usual
    return replace(usual, memory=min(sum(known) // len(known), usual.memory))


def room(nodes: Iterable[Mapping[str, Any]], shape: Shape) -> int:
    """How many actors of the shape fit on the nodes, as ``ray.nodes()`` tells them, at once."""
    total = 0
    for node in nodes:
        if node["Alive"]:
            has = node["Resources"]
            fits = [has.get(name, 0) / need for name, need in shape.resources.items() if need]
            # a tenth of a core is no exact number
            total += math.floor(min(fits, default=0) + 1e-6)
    return total
