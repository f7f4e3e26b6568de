"""Queries, keys, values and gates trained on one core of a CPU: one pass forward and one back.

The gates are linear in queries, keys and values, which are linear in c and u: their matrices are
multiplied first, so that the gates cost a product with two streams instead of three.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.lanes import GROUP, WIDTH
from archsearch.kernels.memories.stabilised.stabilised_inputs import (
    memory_inputs as accelerated_inputs,
)
from archsearch.kernels.memories.stabilised.stabilised_inputs_loops import backward, forward
from archsearch.kernels.recurrences.block_product import diagonals
from archsearch.kernels.trained import arrays, fit, flat, in_rows, once_differentiable, trained

NATIVE = (torch.float32, torch.float64)
plain: Any = accelerated_inputs.plain  # type: ignore[attr-defined]


def memory_inputs(
    c: Tensor, u: Tensor, blocks: Tensor, weight: Tensor, bias: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.stabilised.stabilised_inputs.memory_inputs`."""
    inputs = (c, u, blocks, weight, bias)
    width = c.shape[-1]
    whole = width % WIDTH == 0 and blocks.shape == (3, width // GROUP, GROUP, GROUP)
    fits = whole and trained(inputs, NATIVE) and fit("bte bte pmnn gi g", *inputs)
    if not fits or weight.shape[1] != 3 * width:
        return plain(*inputs, scale)  # type: ignore[no-any-return]
    weights, mix = combined(blocks, weight, scale)
    q, k, v, gates = _Inputs.apply(c, u, weights, mix)
    return q, k, v, gates + bias


def combined(blocks: Tensor, weight: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """The diagonals (4, 3 E) of all blocks, and what the gates make of c and of u (2, G, E)."""
    of_parts = weight.unflatten(1, blocks.shape[:3])  # (G, 3, E / 4, 4)
    through = torch.einsum("gpbi,pbij->pgbj", of_parts, blocks).flatten(2)  # (3, G, E)
    mix = torch.stack([through[0] + through[1], through[2]])
    scaled = blocks * blocks.new_tensor((1.0, scale, 1.0)).view(-1, 1, 1, 1)
    return diagonals(scaled.flatten(0, 1)), mix


class _Inputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, c: Tensor, u: Tensor, weights: Tensor, mix: Tensor) -> Any:
        c, weights, (u, apart) = c.contiguous(), weights.contiguous(), in_rows(u)
        (rows, steps, width), gates = c.shape, mix.shape[1]
        places = np.array([rows * steps, width, apart, gates])
        wide = gates + -gates % WIDTH
        q, k, v = (torch.empty_like(c) for _ in range(3))
        opened = c.new_empty(*c.shape[:2], wide)
        mixed = pad(mix.transpose(1, 2), (0, wide - gates)).contiguous()
        found = (q, k, v, opened.view(-1, wide))
        forward(flat(c), flat(u), *arrays(weights, mixed, *found), places)
        ctx.save_for_backward(c, u, weights, mix)
        return q, k, v, opened[..., :gates]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, ...]:
        c, u, weights, mix = ctx.saved_tensors
        *of_parts, opened = slopes
        # who keeps tensors elsewhere may lay them out anew
        u, apart = in_rows(u)
        gates, places = mix.shape[1], np.array([c[..., 0].numel(), c.shape[2], apart, mix.shape[1]])
        filled = (0, -gates % WIDTH)
        opened = pad(opened, filled).flatten(0, 1)
        mixed = pad(mix, (0, 0, *filled)).contiguous()
        dc, du, dweights = torch.empty_like(c), torch.empty_like(c), torch.zeros_like(weights)
        dmix = torch.zeros_like(mixed)
        known = (*arrays(*of_parts, opened), flat(c), flat(u), *arrays(weights, mixed))
        backward(*known, *arrays(dc, du, dweights, dmix), places)
        return dc, du, dweights, dmix[:, :gates]
