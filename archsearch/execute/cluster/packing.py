"""How much memory a trial reserves on its node: less than it may use, where like ones need less.

What a trial may use, and so what comes of it, is not touched: only how many run side by side.
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from archsearch.execute.job import Job
from archsearch.spec.architecture import Architecture, layers
from archsearch.spec.trial import Outcome

QUANTILE, HEADROOM = 0.95, 1.25
# fewer tell nothing; more than so many are forgotten, oldest first
ENOUGH, MOST = 5, 200
# sizes within this factor are alike
LIKE = 2.0
MEGABYTE = 2**20


@dataclass(frozen=True)
class Measured:
    """A trial of a predicted ``size`` used ``peak`` bytes."""

    size: float
    peak: float


def reserved(declared: int, least: int, size: float, known: Iterable[Measured]) -> int:
    """Bytes to reserve for a trial of this size that may use ``declared``.

    It is ``declared`` halved as often as leaves at least ``least``, and the 95th percentile of the
    peaks of like trials, with a quarter more. A smaller trial's peak counts in proportion to its
    size. Without ENOUGH of them it is ``declared``.
    """
    like = sorted(
        one.peak * max(1.0, size / one.size)
        for one in known
        if size / LIKE <= one.size <= size * LIKE
    )
    if len(like) < ENOUGH:
        return declared
    wanted = max(HEADROOM * like[math.ceil(QUANTILE * len(like)) - 1], least, 1)
    # few sizes, so that an actor that is there fits the next trial
    return declared >> max(math.floor(math.log2(declared / wanted)), 0)


def size_of(architecture: Architecture) -> float:
    """What memory grows with as far as plain data tells: weights, and activations of a batch."""
    depth = sum(len(stage.blocks) * stage.repeat * stage.loops for stage in architecture.stages)
    batch = dict(architecture.training.options).get("batch")
    rows = batch if isinstance(batch, int) else 1
    return float(max(depth, 1) * architecture.width * (architecture.width + rows))


class Packing:
    """What was measured of trials so far, by the cells in them; ``least`` None reserves it all."""

    def __init__(self, least: int | None) -> None:
        self._least = least
        self._known: dict[tuple[str, ...], deque[Measured]] = defaultdict(
            lambda: deque(maxlen=MOST)
        )
        # many wait for each one that ends
        self._found: dict[tuple[tuple[str, ...], float, int], int] = {}

    def memory(self, job: Job) -> int | None:
        """The bytes that a job reserves; all it may use when an attempt of it was lost."""
        if self._least is None or job.memory is None or job.epoch > 1:
            return job.memory
        asked = _cells(job), size_of(job.architecture), job.memory
        if asked not in self._found:
            known = self._known.get(asked[0], ())
            self._found[asked] = reserved(job.memory, self._least, asked[1], known)
        return self._found[asked]

    def learn(self, job: Job, outcome: Outcome) -> None:
        """Keep the peak of a job that ended, however it ended, if one was measured."""
        peak = dict(outcome.timings).get("peak_rss_mb")
        if self._least is not None and peak is not None:
            size = size_of(job.architecture)
            self._known[_cells(job)].append(Measured(size, peak * MEGABYTE))
            self._found.clear()


def _cells(job: Job) -> tuple[str, ...]:
    names = {layer.name for kind, layer in layers(job.architecture) if kind == "cell"}
    return (job.protocol, *sorted(names))
