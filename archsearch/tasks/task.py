"""What a task owes the rest: batches, splits, metrics, chance and trivial predictors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np

from archsearch.spec.settings import Objective
from archsearch.spec.signature import Signature

Split: TypeAlias = Literal["train", "validation", "test"]
Protocol: TypeAlias = Literal["search", "confirm"]


@dataclass(frozen=True)
class Batch:
    """Sequences padded on the right with zeros, and what is to be said of them.

    ``inputs`` float32 (B, T, C), or int64 (B, T) for tokens; ``lengths`` int64 (B,), the steps
    that are not padding. ``targets`` of class int64 (B,) or (B, T); of value float32 (B, outputs)
    or (B, T, outputs), in the units the model is trained in. ``mask`` bool (B, T) marks the steps
    that are trained on and judged; None where there is one target per sequence. ``rows`` int64
    (B,) are the positions in the task's own data, by which :meth:`Task.score` finds the targets in
    their original units.
    """

    inputs: np.ndarray
    lengths: np.ndarray
    targets: np.ndarray
    mask: np.ndarray | None = None
    rows: np.ndarray | None = None

    @property
    def size(self) -> int:
        return len(self.inputs)


class Task(ABC):
    """One task, opened under a protocol: ``search`` trains on train and leaves validation and test
    alone; ``confirm`` trains on train and validation and leaves test alone.

    A task is a pure function of its options and of the bytes of its data: two processes that open
    it see the same splits and the same evaluation batches, in the same order. ``metrics`` has the
    primary metric first. ``fingerprint`` names data and options, not the protocol; ``signature``
    does not depend on the protocol either. Training batches come from the given generator alone.
    """

    kind: ClassVar[str]
    signature: Signature
    metrics: tuple[Objective, ...]
    fingerprint: str

    @abstractmethod
    def batch(self, rng: np.random.Generator, size: int, progress: float) -> Batch:
        """A training batch of at most ``size`` sequences.

        ``progress`` is the part of the training done, 0 to 1; a task with a curriculum draws
        shorter sequences early. A training split smaller than ``size`` gives all its rows.
        """

    @abstractmethod
    def evaluation(self, split: Split, size: int = 256) -> Iterator[Batch]:
        """The whole split in a fixed order, in batches of at most ``size``."""

    @abstractmethod
    def score(self, predictions: list[np.ndarray], batches: list[Batch]) -> dict[str, float]:
        """Every metric, from what the model puts out for each batch.

        A prediction has the shape of the model's output: (B, outputs) or (B, T, outputs). Sums
        are in float64 over the concatenated batches, so they do not depend on the batch size.
        """

    @abstractmethod
    def chance(self) -> dict[str, float]:
        """What guessing without looking at any input is expected to score, on whatever split.

        A metric is left out if that depends on the split; :meth:`baselines` has it then.
        """

    @abstractmethod
    def baselines(self, split: Split = "test") -> dict[str, dict[str, float]]:
        """Trivial predictors by name, fitted on train and judged on ``split``."""

    @abstractmethod
    def preparation(self) -> dict[str, Any]:
        """What a deployed model needs to read a new file and to word its answers; JSON data."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Facts for tables: sizes of the splits, lengths, classes, notes on the data; JSON data."""
