"""Blocks that keep less for the backward pass and compute the rest again.

Gradients are the same to the last bit, random numbers included, at one more forward pass (Chen et
al. 2016, arXiv 1604.06174). Nothing is computed again where no gradient is asked for.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from archsearch.blocks.structure.block import Block
from archsearch.blocks.structure.connections import Chain


class RecomputedBlock(Block):
    """A block of which only the input is kept."""

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(x)
        y: Tensor = checkpoint(super().forward, x, use_reentrant=False)
        return y


class RecomputedSegments(Chain):
    """A chain of n blocks in segments of about sqrt(n), of each of which the input is kept."""

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(x)
        length = max(1, round(math.sqrt(len(self.blocks))))
        for first in range(0, len(self.blocks), length):
            x = checkpoint(self._segment, x, first, length, use_reentrant=False)
        return x

    def _segment(self, x: Tensor, first: int, length: int) -> Tensor:
        for block in self.blocks[first : first + length]:
            x = block(x)
        return x
