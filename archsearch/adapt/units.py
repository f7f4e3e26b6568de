"""The positions of a network that chains are made of: what can be left out or applied again.

They are those of :mod:`archsearch.depth.positions`, each by itself, also step by step.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from archsearch.blocks.structure.block import Block
from archsearch.build import Model
from archsearch.depth.positions import chained, is_looped, layers_of, loops_of


@dataclass(frozen=True)
class Unit:
    """One position: ``layers`` are the blocks that it applies, ``stage`` the one it belongs to.

    ``first`` is what came into that stage, (.., width), as ties may read it in every loop.
    """

    stage: int
    layers: int

    @abstractmethod
    def forward(self, h: Tensor, first: Tensor) -> Tensor:
        """A whole sequence, (batch, time, width) to the same."""

    @abstractmethod
    def initial_state(self, batch: int) -> Any:
        """The state of one of its places in a chain, before the first step."""

    @abstractmethod
    def step(self, h: Tensor, state: Any, first: Tensor) -> tuple[Tensor, Any]:
        """One time step, (batch, width) to the same."""

    def advance(self, h: Tensor, state: Any, first: Tensor) -> Any:
        """The state after a step whose output nobody reads."""
        return self.step(h, state, first)[1]


@dataclass(frozen=True)
class BlockUnit(Unit):
    """A block of a stage that is applied once."""

    block: Block

    def forward(self, h: Tensor, first: Tensor) -> Tensor:
        return self.block(h)  # type: ignore[no-any-return]

    def initial_state(self, batch: int) -> Any:
        return self.block.initial_state(batch)

    def step(self, h: Tensor, state: Any, first: Tensor) -> tuple[Tensor, Any]:
        return self.block.step(h, state)

    def advance(self, h: Tensor, state: Any, first: Tensor) -> Any:
        # the channel mixer remembers nothing
        return self.block.cell.layer.step(self.block.cell.enter(h), state)[1]


@dataclass(frozen=True)
class LoopUnit(Unit):
    """One loop of a looped stage, with what is that loop's own."""

    tie: nn.Module
    loop: int

    def forward(self, h: Tensor, first: Tensor) -> Tensor:
        return self.tie(h, self.loop, first)  # type: ignore[no-any-return]

    def initial_state(self, batch: int) -> Any:
        return self.tie.initial_state(batch)

    def step(self, h: Tensor, state: Any, first: Tensor) -> tuple[Tensor, Any]:
        return self.tie.step(h, state, self.loop, first)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class StageUnit(Unit):
    """A stage as a whole."""

    module: nn.Module

    def forward(self, h: Tensor, first: Tensor) -> Tensor:
        return self.module(h)[0]  # type: ignore[no-any-return]

    def initial_state(self, batch: int) -> Any:
        return self.module.initial_state(batch)

    def step(self, h: Tensor, state: Any, first: Tensor) -> tuple[Tensor, Any]:
        return self.module.step(h, state)  # type: ignore[no-any-return]


def units_of(model: Model) -> tuple[Unit, ...]:
    """The positions of a network, front to back."""
    found: list[Unit] = []
    for number, stage in enumerate(model.stages):
        layers, loops, blocks = layers_of(stage), loops_of(stage), chained(stage)
        if is_looped(stage):
            found += [LoopUnit(number, layers, stage.tie, loop) for loop in range(loops)]
        elif blocks is not None:
            found += [BlockUnit(number, 1, block) for block in blocks]
        else:
            found.append(StageUnit(number, layers * loops, stage))
    return tuple(found)
