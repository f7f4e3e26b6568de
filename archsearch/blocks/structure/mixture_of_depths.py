"""Blocks that only some positions of a sequence go through; the others pass them by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from archsearch.blocks.added_loss import with_loss
from archsearch.blocks.padding import real_positions
from archsearch.blocks.structure.block import Block
from archsearch.blocks.structure.chosen import Rows, highest, step_chosen, through_chosen
from archsearch.blocks.structure.connections import Apply, Connections


class MixtureOfDepths(Connections):
    """Every ``every``-th block is for a share ``capacity`` of the positions, chosen by a router.

    x + sigmoid(r) (block(x) - x) with r = w x, at the positions of the highest r; a block sees the
    sequence of those alone. That choice looks ahead, so a second unit learns to tell it from one
    position, and in use it alone decides (Raposo et al. 2024, arXiv 2404.02258, sections 3.3 to
    3.5, with a sigmoid around the weight). Its cross entropy is not part of the loss that training
    reports, but of its gradient.
    """

    compares = True

    # connections are always given the width
    def __init__(
        self, blocks: Sequence[Block], width: int, capacity: float = 0.125, every: int = 2
    ) -> None:
        super().__init__(blocks)
        self.capacity, self.every = capacity, every
        count = len(blocks) // every
        self.routers = nn.ModuleList(nn.Linear(width, 1, bias=False) for _ in range(count))
        self.predictors = nn.ModuleList(nn.Linear(width, 1) for _ in range(count))
        for predictor in self.predictors:
            # about as many as in training, before anything is learned
            nn.init.constant_(predictor.bias, -math.log(1 / capacity - 1 + 1e-6))

    def through(self, x: Tensor, apply: Apply) -> Tensor:
        raise TypeError("positions are chosen of whole sequences or of one step")

    def forward(self, x: Tensor) -> Tensor:
        for number, block in enumerate(self.blocks):
            at = self._router(number)
            x = block(x) if at is None else self._routed(x, block, at)
        return x

    def initial_state(self, batch: int) -> tuple[Any, ...]:
        return tuple(
            block.initial_state(batch)
            if self._router(number) is None
            else tuple(block.initial_state(1) for _ in range(batch))
            for number, block in enumerate(self.blocks)
        )

    def step(self, x_t: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        after: list[Any] = []
        for number, (block, before) in enumerate(zip(self.blocks, state, strict=True)):
            at = self._router(number)
            if at is None:
                x_t, now = block.step(x_t, before)
            else:
                x_t, now = self._routed_step(x_t, block, at, before)
            after.append(now)
        return x_t, tuple(after)

    def _router(self, number: int) -> int | None:
        """Which router stands before a block, if one does."""
        return number // self.every if number % self.every == self.every - 1 else None

    def _routed(self, x: Tensor, block: Block, at: int) -> Tensor:
        scores = self.routers[at](x).squeeze(-1)
        if self.training:
            real = real_positions(x)
            chosen = highest(scores, self.capacity, real=real)
            told = self.predictors[at](x.detach()).squeeze(-1)
            counted = slice(None) if real is None else real
            loss = binary_cross_entropy_with_logits(told[counted], chosen[counted].to(told.dtype))
        else:
            chosen = self.predictors[at](x).squeeze(-1) > 0
        y = through_chosen(block, chosen, x)
        y = x + torch.sigmoid(scores)[..., None] * (y - x)
        return with_loss(y, loss) if self.training else y

    def _routed_step(self, x_t: Tensor, block: Block, at: int, state: Rows) -> tuple[Tensor, Rows]:
        chosen = self.predictors[at](x_t).squeeze(-1) > 0
        y_t, state = step_chosen(block.step, chosen, state, x_t)
        weight = torch.sigmoid(self.routers[at](x_t))
        return x_t + weight * (y_t - x_t), state
