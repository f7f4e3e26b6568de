"""One chain for all inputs: the best of each length, or simply the first positions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from archsearch.adapt.chain import Chain
from archsearch.adapt.labels.graded import Graded
from archsearch.adapt.policies.policy import ChainPolicy
from archsearch.adapt.policies.view import View


@dataclass(frozen=True)
class Static(ChainPolicy):
    """The knob goes through ``steps``, each cheaper than the one before."""

    name: ClassVar[str] = "static"
    steps: tuple[Chain, ...]

    @property
    def settings(self) -> int:
        return 1 + len(self.steps)

    @property
    def chains(self) -> tuple[Chain, ...]:
        return self.steps

    def choose(self, view: View, setting: int) -> list[Chain]:
        return [self.steps[setting - 1]] * view.count

    def to_plain(self) -> dict[str, Any]:
        return {"steps": [str(chain) for chain in self.steps]}


@dataclass(frozen=True)
class Prefix(Static):
    """The first positions, one fewer with each place of the knob."""

    name: ClassVar[str] = "prefix"


def best_static(graded: Graded, plain: Chain) -> Static:
    """For each cost below the network's the chain with the best mean score, as graded.

    A chain that a cheaper one equals is left out. Of equal scores the larger mean margin counts.
    """
    merits = list(zip(graded.score.mean(0), graded.margin.mean(0), strict=True))
    steps: list[Chain] = []
    best = (-np.inf, -np.inf)
    for cost in sorted(set(graded.costs[graded.costs < graded.full].tolist())):
        here = np.flatnonzero(graded.costs == cost)
        place = max(here, key=lambda at: merits[at])
        if merits[place] > best:
            best = merits[place]
            steps.insert(0, graded.chains[place])
    return Static(tuple(chain for chain in steps if chain != plain))


def truncations(depth: int) -> Prefix:
    return Prefix(tuple(Chain.plain(length) for length in range(depth - 1, -1, -1)))
