"""Non-dominated sorting of loss vectors (Deb et al. 2002, NSGA-II, section III.A)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def ranks(vectors: Sequence[tuple[float, ...]], wanted: int | None = None) -> list[int]:
    """The front each vector lies in: 0 for the non-dominated, 1 for those below them, ...

    With one loss, the rank counts the distinct smaller values. Once ``wanted`` vectors lie in the
    fronts found so far, all others share the next rank. Vectors must be finite and of equal
    length; time O(n^2 d).
    """
    if not vectors:
        return []
    values = np.asarray(vectors, dtype=np.float64)  # (n, losses)
    if values.shape[1] == 1:
        return [int(rank) for rank in np.unique(values[:, 0], return_inverse=True)[1]]
    wanted = len(vectors) if wanted is None else wanted
    # [i, j]: i dominates j, which for distinct vectors is to be nowhere worse
    nowhere_worse = np.ones((len(values), len(values)), dtype=bool)
    for column in values.T:
        nowhere_worse &= column[:, None] <= column[None, :]
    dominates = nowhere_worse & ~nowhere_worse.T
    found = np.full(len(values), -1)
    left = np.arange(len(values))
    rank = 0
    while len(values) - len(left) < wanted:
        behind = dominates[np.ix_(left, left)].any(axis=0)
        found[left[~behind]] = rank
        left = left[behind]
        rank += 1
    found[left] = rank
    return [int(rank) for rank in found]
