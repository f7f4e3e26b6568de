"""Predicts a stream and learns from it: each prediction is made before its truth is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from archsearch.serve.learning import LearningStream

Arriving = Callable[[int], Iterable[tuple[int, NDArray[np.generic]]]]


@dataclass(frozen=True)
class Prequential:
    """Answers of every step, (T, outputs), of the export alone and of the learner.

    ``learned`` counts updates, ``refused`` those that were not made, ``held`` the answers that the
    export gave; ``moved`` is the distance from the export at the end.
    """

    frozen: NDArray[np.float32]
    learning: NDArray[np.float32]
    learned: int
    refused: int
    held: int
    moved: float


def prequential(
    stream: LearningStream, inputs: Iterable[NDArray[np.generic]], arriving: Arriving
) -> Prequential:
    """Run a sequence, step by step (channels,) or (), through a stream that has forgotten all
    before it.

    ``arriving(t)`` are the truths that are known once step t is there, as (steps before the latest
    answer, targets); those that came too late for what the learner remembers are not told.
    """
    stream.forget()
    frozen, learning = [], []
    for step, x_t in enumerate(inputs):
        for ago, targets in arriving(step):
            if ago < stream.remembered:
                stream.tell(targets, ago)
        stream.learn()
        learning.append(stream.push(x_t))
        frozen.append(stream.frozen)
    counts = stream.updates, stream.refused, stream.held
    return Prequential(np.stack(frozen), np.stack(learning), *counts, stream.moved)
