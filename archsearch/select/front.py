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
    kind = _Staircase if points.shape[1] <= 2 else _Cloud
    fronts: list[_Staircase | _Cloud] = []
    for row in np.lexsort(points.T[::-1]):
        point = points[row]
        low, high = 0, len(fronts)
        while low < high:
            middle = (low + high) // 2
            if fronts[middle].dominates(point):
                low = middle + 1
            else:
                high = middle
        if low == len(fronts):
            fronts.append(kind(point))
        else:
            fronts[low].add(point)
        ranks[row] = low
    return ranks


class _Staircase:
    """A front of one or two objectives: in this order, its newest point is the hardest to beat."""

    def __init__(self, point: NDArray[np.float64]) -> None:
        self.add(point)

    def add(self, point: NDArray[np.float64]) -> None:
        self._newest = tuple(point.tolist())

    def dominates(self, point: NDArray[np.float64]) -> bool:
        return self._newest[-1] <= point[-1] and self._newest != tuple(point.tolist())


class _Cloud:
    """A front of more objectives: its points in an array that doubles when it is full."""

    def __init__(self, point: NDArray[np.float64]) -> None:
        self._rows: NDArray[np.float64] = np.empty((4, len(point)))
        self._count = 0
        self.add(point)

    def add(self, point: NDArray[np.float64]) -> None:
        if self._count == len(self._rows):
            self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
        self._rows[self._count] = point
        self._count += 1

    def dominates(self, point: NDArray[np.float64]) -> bool:
        rows = self._rows[: self._count]
        no_worse = (rows <= point).all(axis=1)
        return bool((no_worse & (rows < point).any(axis=1)).any())
