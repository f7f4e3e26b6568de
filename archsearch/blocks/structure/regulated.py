"""A chain whose blocks also read a recurrent memory that runs through depth."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from archsearch.blocks.structure.block import Block
from archsearch.blocks.structure.connections import Apply, Connections


class Regulated(Connections):
    """x + (block_l(z) - z) with z = W_l [x; h_l] and h_l the state of a ``unit`` that reads x.

    The unit is one for all blocks and takes the blocks for its time, at each position by itself
    (the convolutional regulator of Xu et al. 2021, arXiv 2101.00590, at a kernel of one). W_l
    starts as [1, 0], so that the stage starts as the chain; h_0 is zero.
    """

    def __init__(self, blocks: Sequence[Block], width: int, unit: str = "lstm") -> None:
        super().__init__(blocks)
        self.unit = (nn.LSTMCell if unit == "lstm" else nn.GRUCell)(width, width)
        self.joins = nn.ModuleList(nn.Linear(2 * width, width, bias=False) for _ in blocks)
        with torch.no_grad():
            for join in self.joins:
                join.weight.copy_(torch.eye(width, 2 * width))
        # decay would draw the stream itself towards zero
        self.no_decay = tuple(f"joins.{number}.weight" for number in range(len(blocks)))

    def through(self, x: Tensor, apply: Apply) -> Tensor:
        shape, state = x.shape, None
        for block, join in zip(self.blocks, self.joins, strict=True):
            state = self.unit(x.reshape(-1, shape[-1]), state)
            h = state[0] if isinstance(state, tuple) else state
            z = join(torch.cat([x, h.view(shape)], -1))
            x = x + (apply(block, z) - z)
        return x
