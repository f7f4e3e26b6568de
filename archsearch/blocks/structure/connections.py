"""What a stage's blocks read of those before: ``Connections(blocks, width, **options)``."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from archsearch.blocks.structure.block import Block

Apply: TypeAlias = Callable[[Block, Tensor], Tensor]


class Connections(nn.Module):
    """Blocks and what lies between them, one position at a time; the state is a tuple of theirs."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    @abstractmethod
    def through(self, x: Tensor, apply: Apply) -> Tensor:
        """x, (.., width), on its way through all blocks, each applied once and in their order."""

    def forward(self, x: Tensor) -> Tensor:
        """A whole sequence, (batch, time, width) to the same."""
        return self.through(x, lambda block, x: block(x))

    def initial_state(self, batch: int) -> tuple[Any, ...]:
        return tuple(block.initial_state(batch) for block in self.blocks)

    def step(self, x_t: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        """One time step, (batch, width) to the same."""
        after: list[Any] = []

        def advance(block: Block, x_t: Tensor) -> Tensor:
            x_t, now = block.step(x_t, state[len(after)])
            after.append(now)
            return x_t

        return self.through(x_t, advance), tuple(after)


class Chain(Connections):
    """Each block reads the one before it."""

    # connections are always given the width
    def __init__(self, blocks: Sequence[Block], width: int) -> None:
        super().__init__(blocks)

    def through(self, x: Tensor, apply: Apply) -> Tensor:
        for block in self.blocks:
            x = apply(block, x)
        return x


class Dense(Connections):
    """Each block, and what follows the last, reads all that came before.

    "weighted" reads the sum of the stage's input and all outputs so far, each times a learned
    number (Pagliardini et al. 2024, arXiv 2402.02622, equation 1); "projected" a linear map of
    their concatenation (Huang et al. 2016, arXiv 1608.06993, with the width kept). Both start as
    the chain does: the latest alone is read.
    """

    def __init__(self, blocks: Sequence[Block], width: int, read: str = "weighted") -> None:
        super().__init__(blocks)
        self.reads = nn.ParameterList()
        for count in range(2, len(blocks) + 2):
            if read == "projected":
                weight = torch.zeros(width, count * width)
                weight[:, -width:].fill_diagonal_(1.0)
            else:
                weight = torch.zeros(count)
                weight[-1] = 1.0
            self.reads.append(nn.Parameter(weight))
        # decay would draw the streams themselves towards zero
        self.no_decay = tuple(f"reads.{number}" for number in range(len(blocks)))

    def through(self, x: Tensor, apply: Apply) -> Tensor:
        seen = [x]
        for block, weight in zip(self.blocks, self.reads, strict=True):
            seen.append(apply(block, x))
            if weight.ndim == 1:
                x = torch.stack(seen, -1) @ weight
            else:
                x = torch.cat(seen, -1) @ weight.T
        return x


class LongResiduals(Connections):
    """A chain whose levels also reach all later ones but the next, through narrow projections.

    x_s = blocks_s(x_{s-1}) + sum_{q < s-1} P_qs(x_q), x_0 the stage's input, one level ``every``
    so many blocks; P is a layer norm and a linear map of rank width / ``narrow``, zero at first,
    so that the stage starts as the chain (after arXiv 2502.16003, for sequences of one length).
    """

    def __init__(
        self, blocks: Sequence[Block], width: int, every: int = 1, narrow: int = 8
    ) -> None:
        super().__init__(blocks)
        self.every = every
        levels = range(1, -(-len(blocks) // every) + 1)
        self.projections = nn.ModuleList(
            nn.ModuleList(LowRank(width, max(1, width // narrow)) for _ in range(level - 1))
            for level in levels
        )

    def through(self, x: Tensor, apply: Apply) -> Tensor:
        levels = [x]
        for number, projections in enumerate(self.projections):
            for block in self.blocks[number * self.every : (number + 1) * self.every]:
                x = apply(block, x)
            for project, level in zip(projections, levels, strict=False):
                x = x + project(level)
            levels.append(x)
        return x


class LowRank(nn.Module):
    """A layer norm and a linear map of low rank, which is zero at first."""

    def __init__(self, width: int, rank: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.into = nn.Linear(width, rank, bias=False)
        self.out = nn.Linear(rank, width, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.into(self.norm(x)))
