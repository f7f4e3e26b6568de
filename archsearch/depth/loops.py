"""A stage applied a fixed number of times.

What applies a stage is ``Halting(tie, width, loops, **options)``: ``forward(x) -> (y, Spent)`` for
x (batch, time, width), ``initial_state(batch)`` and ``step(x_t, state) -> (y_t, state)``. The state
holds one state of the body per loop, because each loop sees another sequence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
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


class Loops(nn.Module):
    """A stage and the largest number of its loops."""

    # halting is always given the width
    def __init__(self, tie: nn.Module, width: int, loops: int) -> None:
        super().__init__()
        self.tie, self.loops = tie, loops

    def initial_state(self, batch: int) -> tuple[Any, ...]:
        return tuple(self.tie.initial_state(batch) for _ in range(self.loops))


class FixedDepth(Loops):
    """Every position passes through the stage ``loops`` times, free of charge."""

    def passes(self, x: Tensor) -> Iterator[Tensor]:
        """The stream after each loop, (batch, time, width)."""
        first = x
        for loop in range(self.loops):
            x = self.tie(x, loop, first)
            yield x

    def forward(self, x: Tensor) -> tuple[Tensor, Spent]:
        y, loops = x, 0
        for after in self.passes(x):
            y, loops = after, loops + 1
        free = x.new_zeros(x.shape[:-1])
        return y, Spent(loops=free + loops, cost=free)

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
        outputs = torch.stack(list(self.passes(x)))
        free = x.new_zeros(x.shape[:-1])
        shares = (free + 1 / self.loops).expand(self.loops, *free.shape)
        return Exits(outputs, shares, free)


class HaltingByPosition(Loops, ABC):
    """Positions stop after different numbers of loops; a stream takes the same loops, one by one.

    Every loop of a stream is stepped, also for a position that has stopped: its later ones may go
    on, and each loop's state has to have seen the whole sequence.
    """

    @abstractmethod
    def run(
        self, x: Tensor, apply: Callable[[Tensor, int], Tensor], *, until_all_stopped: bool
    ) -> tuple[Tensor, Any]:
        """The answer of each position of x (.., width), and what it took to get there.

        ``apply(x, loop)`` is the stage; with ``until_all_stopped`` it need not be called for loops
        that no position takes.
        """

    def over_sequence(self, x: Tensor) -> tuple[Tensor, Any]:
        """:meth:`run` over whole sequences (batch, time, width)."""
        first = x

        def advance(x: Tensor, loop: int) -> Tensor:
            return self.tie(x, loop, first)  # type: ignore[no-any-return]

        return self.run(x, advance, until_all_stopped=True)

    def step(self, x_t: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        first, after = x_t, []

        def advance(x: Tensor, loop: int) -> Tensor:
            x, now = self.tie.step(x, state[loop], loop, first)
            after.append(now)
            return x

        y, _ = self.run(x_t, advance, until_all_stopped=False)
        return y, tuple(after)
