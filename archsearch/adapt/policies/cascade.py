"""Rung after rung of a ladder of chains, until the network is sure enough or has settled.

Confidence after BranchyNet (arXiv 1709.01686) and CALM (arXiv 2207.07061), patience after PABEE
(arXiv 2006.04152).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from archsearch.adapt.chain import Chain
from archsearch.adapt.policies.policy import ChainPolicy
from archsearch.adapt.policies.view import Signal, View
from archsearch.adapt.units import LoopUnit, Unit


@dataclass(frozen=True)
class Rung:
    """The chain at whose end the network is looked at, and the one that then gives the answer."""

    look: Chain
    take: Chain


class Ladder(ChainPolicy):
    """A row leaves at the first rung where it may; one that never may has the whole network."""

    rungs: tuple[Rung, ...]

    @property
    def chains(self) -> tuple[Chain, ...]:
        return tuple(dict.fromkeys(c for rung in self.rungs for c in (rung.look, rung.take)))

    @abstractmethod
    def leaves(self, view: View, setting: int, rung: int, rows: Tensor, memory: Tensor) -> Tensor:
        """(rows,), who leaves at a rung; ``memory`` (rows,) is zero at first and may be changed."""

    def choose(self, view: View, setting: int) -> list[Chain]:
        chains = [view.walk.plain] * view.count
        rows, memory = torch.arange(view.count), torch.zeros(view.count)
        for number, rung in enumerate(self.rungs):
            gone = self.leaves(view, setting, number, rows, memory)
            for row in rows[gone].tolist():
                chains[row] = rung.take
            rows, memory = rows[~gone], memory[~gone]
            if not len(rows):
                break
        return chains


@dataclass(frozen=True)
class Cascade(Ladder):
    """A row leaves once its sureness reaches a threshold; thresholds fall along the knob."""

    name: ClassVar[str] = "cascade"
    signal: Signal
    rungs: tuple[Rung, ...]
    thresholds: tuple[float, ...]

    @property
    def settings(self) -> int:
        return 1 + len(self.thresholds)

    def leaves(self, view: View, setting: int, rung: int, rows: Tensor, memory: Tensor) -> Tensor:
        sureness = view.sureness(self.signal, self.rungs[rung].look, rows)
        return sureness >= self.thresholds[setting - 1]

    def to_plain(self) -> dict[str, Any]:
        return {
            "signal": self.signal,
            "rungs": [[str(rung.look), str(rung.take)] for rung in self.rungs],
            "thresholds": list(self.thresholds),
        }


@dataclass(frozen=True)
class Patience(Ladder):
    """A row leaves once so many rungs in a row have said what the one before them said.

    Along the knob patience falls to one. ``tolerance`` is what values may differ by.
    """

    name: ClassVar[str] = "patience"
    rungs: tuple[Rung, ...]
    tolerance: float = 0.1

    @property
    def settings(self) -> int:
        return max(1, len(self.rungs))

    def leaves(self, view: View, setting: int, rung: int, rows: Tensor, memory: Tensor) -> Tensor:
        if rung == 0:
            return torch.zeros(len(rows), dtype=torch.bool)
        here, before = self.rungs[rung].take, self.rungs[rung - 1].take
        same = view.agrees(here, before, rows, self.tolerance)
        memory.copy_(torch.where(same, memory + 1, torch.zeros_like(memory)))
        return memory >= self.settings - setting

    def to_plain(self) -> dict[str, Any]:
        return {
            "rungs": [[str(rung.look), str(rung.take)] for rung in self.rungs],
            "tolerance": self.tolerance,
        }


def prefix_rungs(depth: int) -> tuple[Rung, ...]:
    """After each position but the last, answered from there."""
    return tuple(Rung(Chain.plain(n), Chain.plain(n)) for n in range(1, depth))


def loop_rungs(units: Sequence[Unit], *, look_through: bool) -> tuple[Rung, ...]:
    """After each loop of the last looped stage; what follows the stage is applied to answer.

    With ``look_through`` it is applied to look as well, as sureness of an answer needs.
    """
    stages = [unit.stage for unit in units if isinstance(unit, LoopUnit)]
    if not stages:
        return ()
    loops = [place for place, unit in enumerate(units) if unit.stage == stages[-1]]
    after = tuple(range(loops[-1] + 1, len(units)))
    rungs = []
    for last in loops[:-1]:
        look = Chain(tuple(range(last + 1)))
        take = Chain(look.path + after)
        rungs.append(Rung(take if look_through else look, take))
    return tuple(rungs)
