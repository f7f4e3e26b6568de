"""A file as model inputs, whatever kind it is of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from archsearch.tasks.task import Batch

SIZE = 256


@dataclass(frozen=True)
class Prepared:
    """Model inputs of a file in order, in batches with empty targets.

    ``ids`` name the sequences, one for each row of the batches. ``facts`` is what the
    answers need beside the predictions: times to come, last values, the text itself. ``notes`` are
    for who reads the answers.
    """

    batches: list[Batch]
    ids: np.ndarray
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def parts(rows: np.ndarray) -> list[np.ndarray]:
    """The rows of each batch."""
    return [rows[start : start + SIZE] for start in range(0, len(rows), SIZE)]
