"""Splits rows into train, validation and test: disjoint, seeded, by class where there are some."""

from __future__ import annotations

import numpy as np


def hold_out(
    rows: np.ndarray, fraction: float, rng: np.random.Generator, classes: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """``rows`` in two sorted parts, the second with about ``fraction`` of them and at least one.

    With ``classes`` (one for each of ``rows``) every class of two rows or more has at least one in
    each part, and a class of one row stays in the first.
    """
    groups = [rows] if classes is None else [rows[classes == label] for label in np.unique(classes)]
    kept, held = [], []
    for group in groups:
        mixed = rng.permutation(group)
        count = min(len(group) - 1, max(1, round(fraction * len(group))))
        held.append(mixed[:count])
        kept.append(mixed[count:])
    return np.sort(np.concatenate(kept)), np.sort(np.concatenate(held))
