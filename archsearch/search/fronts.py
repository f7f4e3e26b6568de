"""Non-dominated sorting of loss vectors (Deb et al. 2002, NSGA-II, section III.A)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def ranks(vectors: Sequence[tuple[float, ...]]) -> list[int]:
    """The front each vector lies in: 0 for the non-dominated, 1 for those below them, ...

    With one loss, the rank counts the distinct smaller values. Vectors must be finite and of
    equal length; time O(n^2 d) at most.
    """
    if not vectors:
        return []
    values = np.asarray(vectors, dtype=np.float64)  # (n, losses)
    if values.shape[1] == 1:
        return [int(rank) for rank in np.unique(values[:, 0], return_inverse=True)[1]]
    left, right = values[:, None, :], values[None, :, :]
    better = (left <= right).all(-1) & (left < right).any(-1)  # [i, j]: i dominates j
    above = better.sum(0)  # (n,) how many undecided vectors dominate each
    found = np.full(len(values), -1)
    rank = 0
    while (found < 0).any():
        front = (above == 0) & (found < 0)
        found[front] = rank
        above = above - better[front].sum(0)
        rank += 1
    return [int(rank) for rank in found]
