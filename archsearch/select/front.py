"""Non-dominated sorting: the vectors of losses that no other dominates, then the next, ..."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def front_ranks(losses: Sequence[Sequence[float]]) -> list[int]:
    """The front of each point: 0 for the non-dominated ones, 1 for those only they dominate, ...

    ``losses`` is (points, objectives), less is better, all finite. Equal points share a front.

    Points are taken in lexicographic order, in which nobody dominates an earlier one, and each is
    put by binary search into the first front that does not dominate it (Zhang et al. 2015,
    "An Efficient Approach to Nondominated Sorting", ENS-BS).
    """
    if not len(losses):
        return []
    points = np.asarray(losses, dtype=np.float64)  # (points, objectives)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise ValueError("losses must be finite numbers, one row for each point")
    ranks = [0] * len(points)
    fronts: list[_Front] = []
    for row in np.lexsort(points.T[::-1]):
        low, high = 0, len(fronts)
        while low < high:
            middle = (low + high) // 2
            if fronts[middle].dominates(points[row]):
                low = middle + 1
            else:
                high = middle
        if low == len(fronts):
            fronts.append(_Front(points.shape[1]))
        fronts[low].add(points[row])
        ranks[row] = low
    return ranks


class _Front:
    """The points of one front in an array that doubles when it is full."""

    def __init__(self, objectives: int) -> None:
        self._rows: NDArray[np.float64] = np.empty((4, objectives))
        self._count = 0

    def add(self, point: NDArray[np.float64]) -> None:
        if self._count == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[self._count] = point
        self._count += 1

    def dominates(self, point: NDArray[np.float64]) -> bool:
        rows = self._rows[: self._count]
        no_worse = (rows <= point).all(axis=1)
        return bool((no_worse & (rows < point).any(axis=1)).any())
