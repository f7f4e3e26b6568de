"""Connections grow between what is active together, and stay within modules.

After Konstantaropoulos et al. 2025, arXiv 2508.14140; their formula for growth is not public in
the abstract, and here it is the absolute correlation of a weight's input and output.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from archsearch.sparsity.dynamic import Plan, Rewired
from archsearch.sparsity.masks import Masks, Setting
from archsearch.sparsity.observed import Observed
from archsearch.sparsity.roles import prunable

GROUPS, PROBE = 4, 1000  # what its random numbers and its batches are for


class Hebbian(Rewired):
    """The smallest weights go, and of the places that a module allows the most correlated come."""

    def __init__(
        self, setting: Setting, names: frozenset[str], plan: Plan, groups: int, reach: float
    ) -> None:
        self.groups, self.reach = groups, reach
        self._observed: Observed | None = None
        super().__init__(setting, names, plan)

    def room(self, name: str) -> Tensor:
        place = list(self.weights).index(name)
        shape = tuple(self.weights[name].shape)
        return modular(shape, self.groups, self.reach, self.setting.random(GROUPS, place))

    def before_step(self, step: int) -> None:
        if step in self.moments and self.weights:
            self._observed = Observed(self.weights)
            with torch.no_grad(), self._observed:
                self.setting.probe(PROBE + step)
        super().before_step(step)

    def worth(self, name: str, step: int) -> Tensor:
        assert self._observed is not None
        return self._observed.correlation(name)


def modular(
    shape: tuple[int, ...], groups: int, reach: float, generator: torch.Generator
) -> Tensor:
    """Which places join a group of outputs to one of the groups of inputs that it hears.

    Rows and columns are cut in ``groups`` runs; each group of rows hears its own number and, drawn
    at random, the share ``reach`` of all groups.
    """
    rows, columns = shape[0], math.prod(shape[1:])
    heard = max(1, round(reach * groups))
    joined = torch.eye(groups, dtype=torch.bool)
    for group in range(groups):
        others = torch.randperm(groups, generator=generator)
        others = others[others != group][: heard - 1]
        joined[group, others] = True
    of_row = torch.arange(rows) * groups // rows
    of_column = torch.arange(columns) * groups // columns
    return joined[of_row][:, of_column].reshape(shape)


def hebbian(
    setting: Setting,
    density: float,
    allocation: str = "erk",
    which: str = "stages",
    updates: int = 20,
    end: float = 0.75,
    drop: float = 0.3,
    groups: int = 1,
    reach: float = 0.5,
) -> Masks:
    """See :class:`Hebbian`."""
    names = prunable(setting.model, which)
    plan = Plan(density, allocation, updates, end, drop)
    return Hebbian(setting, names, plan, groups, reach)
