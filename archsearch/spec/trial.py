"""The trial record: what was tried and what came of it, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from archsearch.spec.architecture import Architecture

Point: TypeAlias = "tuple[tuple[str, int | float], ...]"
Metrics: TypeAlias = "tuple[tuple[str, float], ...]"
Curve: TypeAlias = "tuple[tuple[int, Metrics], ...]"


class State(StrEnum):
    """Where a trial stands; every state but the first is final."""

    RUNNING = "running"
    COMPLETE = "complete"
    STOPPED = "stopped"
    DIVERGED = "diverged"
    OOM = "out-of-memory"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    INVALID = "invalid"

    @property
    def final(self) -> bool:
        return self is not State.RUNNING

    @property
    def has_value(self) -> bool:
        """Whether its metrics may be compared with another's."""
        return self is State.COMPLETE


@dataclass(frozen=True)
class Limit:
    """A trial at ``step`` goes on only if no point of ``front`` dominates it.

    Points and the trial are vectors of objective losses (less is better, in the order of the
    study's objectives). With one objective that is: not worse than the worst value allowed.
    """

    step: int
    front: tuple[tuple[float, ...], ...]

    def stops(self, losses: tuple[float, ...]) -> bool:
        return any(dominates(point, losses) for point in self.front)


def dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """At least as good everywhere and better somewhere; less is better."""
    pairs = list(zip(one, other, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)


@dataclass(frozen=True)
class Outcome:
    """What came of one job.

    ``metrics`` are on the judging split of the job; ``curve`` is what was seen during training on
    the validation split. ``timings`` differ between machines and never enter a sampler.
    ``weights`` is the file that holds the trained parameters, if the job asked to keep them.
    ``lost`` says that the worker died under the job, so that trying again may end otherwise.
    """

    state: State
    metrics: Metrics = ()
    curve: Curve = ()
    message: str = ""
    timings: Metrics = ()
    weights: str | None = None
    lost: bool = False

    def metric(self, name: str) -> float | None:
        return dict(self.metrics).get(name)


@dataclass(frozen=True)
class Trial:
    """One row of the study: proposal ``index`` of ``phase``, its architecture and its outcome."""

    index: int
    phase: str
    point: Point
    architecture: Architecture
    digest: str
    seed: int
    outcome: Outcome = Outcome(State.RUNNING)
    role: str = ""

    @property
    def state(self) -> State:
        return self.outcome.state
