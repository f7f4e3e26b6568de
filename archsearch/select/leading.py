"""Which trials stand at the top of a long table, found without reading all of each.

Gives the same trials as :mod:`archsearch.select.leaderboard` does for the whole study; what each
row then says may be computed from these trials alone, for nobody who is left out comes before or
dominates one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from archsearch.select.front import front_ranks
from archsearch.select.ranking import TIE_BREAK
from archsearch.spec.settings import Constraint, Objective


def leading(
    indices: Sequence[int],
    values: Sequence[Mapping[str, float]],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    limit: int,
) -> list[int]:
    """The indices of the first ``limit`` trials that may win, or of as many as there are.

    ``values`` are what is measured of each complete trial; their ``indices`` ascend.
    """
    if not values:
        return []
    counted = np.ones(len(values), dtype=bool)
    for constraint in constraints:
        column = _column(values, constraint.metric)
        counted &= np.isfinite(column) & [constraint.holds(value) for value in column.tolist()]
    losses = [_losses(values, objective) for objective in objectives]
    for column in losses:
        counted &= np.isfinite(column)
    (places,) = counted.nonzero()
    ties = [_losses(values, tie) for tie in TIE_BREAK]
    keys = [*losses, *(np.where(np.isfinite(tie), tie, np.inf) for tie in ties)]
    keys = [key[places] for key in keys]
    if len(objectives) > 1:
        vectors = np.stack(keys[: len(objectives)], axis=1)  # (trials, objectives)
        keys.insert(0, np.array(front_ranks(vectors.tolist()), dtype=np.float64))
    # lexsort takes its last key first, and leaves equals in their order, which is by index
    order = np.lexsort(keys[::-1])[:limit]
    return [indices[place] for place in places[order]]


def _column(values: Sequence[Mapping[str, float]], metric: str) -> NDArray[np.float64]:
    return np.array([known.get(metric, np.nan) for known in values], dtype=np.float64)


def _losses(values: Sequence[Mapping[str, float]], of: Objective) -> NDArray[np.float64]:
    column = _column(values, of.metric)
    return -column if of.direction == "max" else column
