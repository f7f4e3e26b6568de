"""A stage applied a fixed number of times.

What applies a stage is ``Halting(tie, width, loops, **options)``: ``forward(x) -> (y, Spent)`` for
x (batch, time, width), ``initial_state(batch)`` and ``step(x_t, state) -> (y_t, state)``. The state
holds one state of the body per loop, because each loop sees another sequence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Spent:
    """What a stage used at each position, both (batch, time).

    ``loops`` is how often the stage was applied; ``cost`` is what the training loss pays for it.
    """

    loops: Tensor
    cost: Tensor


@dataclass(frozen=True)
class Exits:
    """What each loop of a stage would answer, (loops, batch, time, width), and for how much it
    counts, (loops, batch, time), which sums to one over the loops; ``cost`` is (batch, time).

    A halting with a method ``exits(x)`` that gives these is trained on the mean of what the loss
    is after each loop, by these shares (:mod:`archsearch.train.exits`).
    """

    outputs: Tensor
    shares: Tensor
    cost: Tensor


class FixedDepth(nn.Module):
    """Every position passes through the stage ``loops`` times, free of charge."""

    # halting is always given the width
    def __init__(self, tie: nn.Module, width: int, loops: int) -> None:
        super().__init__()
        self.tie, self.loops = tie, loops

    def forward(self, x: Tensor) -> tuple[Tensor, Spent]:
        first = x
        for loop in range(self.loops):
            x = self.tie(x, loop, first)
        free = x.new_zeros(x.shape[:-1])
        return x, Spent(loops=free + self.loops, cost=free)

    def initial_state(self, batch: int) -> tuple[Any, ...]:
        return tuple(self.tie.initial_state(batch) for _ in range(self.loops))

    def step(self, x_t: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        first, after = x_t, []
        for loop, before in enumerate(state):
            x_t, now = self.tie.step(x_t, before, loop, first)
            after.append(now)
        return x_t, tuple(after)


class SupervisedDepth(FixedDepth):
    """As many loops for all, and trained on what every one of them would answer, all alike.

    The loss is the mean over the loops (Palm et al. 2018, arXiv 1711.08028, section 3.2), so that
    more of them than in training have something to go on from.
    """

    def exits(self, x: Tensor) -> Exits:
        first, outputs = x, []
        for loop in range(self.loops):
            x = self.tie(x, loop, first)
            outputs.append(x)
        free = x.new_zeros(x.shape[:-1])
        shares = (free + 1 / self.loops).expand(self.loops, *free.shape)
        return Exits(torch.stack(outputs), shares, free)
