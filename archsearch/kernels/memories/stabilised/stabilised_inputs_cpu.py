"""Queries, keys, values and gates trained on one core of a CPU: one pass forward and one back.

The gates are linear in queries, keys and values, which are linear in c and u: their matrices are
multiplied first, so that the gates cost a product with two streams instead of three.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from archsearch.kernels.lanes import GROUP, WIDTH
from archsearch.kernels.memories.stabilised.stabilised_inputs import (
    memory_inputs as accelerated_inputs,
)
from archsearch.kernels.memories.stabilised.stabilised_inputs_loops import backward, forward
from archsearch.kernels.recurrences.block_product import diagonals
from archsearch.kernels.trained import arrays, flat, trained

NATIVE = (torch.float32, torch.float64)
plain: Any = accelerated_inputs.plain  # type: ignore[attr-defined]


def memory_inputs(
    c: Tensor, u: Tensor, blocks: Tensor, weight: Tensor, bias: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.stabilised.stabilised_inputs.memory_inputs`."""
    inputs = (c, u, blocks, weight, bias)
    fits = c.ndim == 3 and blocks.shape[-1] == GROUP and c.shape[-1] % WIDTH == 0
    if not fits or not trained(inputs, NATIVE):
        return plain(*inputs, scale)  # type: ignore[no-any-return]
    of_parts = weight.unflatten(1, blocks.shape[:3])  # (G, 3, E / 4, 4)
    through = torch.einsum("gpbi,pbij->pgbj", of_parts, blocks).flatten(2)  # (3, G, E)
    mix = torch.stack([through[0] + through[1], through[2]])
    scaled = blocks * blocks.new_tensor((1.0, scale, 1.0)).view(-1, 1, 1, 1)
    q, k, v, gates = _Inputs.apply(c, u, diagonals(scaled.flatten(0, 1)), mix)
    return q, k, v, gates + bias


class _Inputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, c: Tensor, u: Tensor, weights: Tensor, mix: Tensor) -> Any:
        c, u, weights = c.contiguous(), _in_rows(u), weights.contiguous()
        gates = mix.shape[1]
        wide = gates + -gates % WIDTH
        q, k, v = (torch.empty_like(c) for _ in range(3))
        opened = c.new_empty(*c.shape[:2], wide)
        mixed = pad(mix.transpose(1, 2), (0, wide - gates)).contiguous()
        found = (q, k, v, opened.view(-1, wide))
        forward(flat(c), flat(u), *arrays(weights, mixed, *found), _places(u, gates))
        ctx.save_for_backward(c, u, weights, mix)
        return q, k, v, opened[..., :gates]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, ...]:
        c, u, weights, mix = ctx.saved_tensors
        *of_parts, opened = slopes
        gates = mix.shape[1]
        filled = (0, -gates % WIDTH)
        opened = pad(opened, filled).flatten(0, 1)
        mixed = pad(mix, (0, 0, *filled)).contiguous()
        dc, du, dweights = torch.empty_like(c), torch.empty_like(c), torch.zeros_like(weights)
        dmix = torch.zeros_like(mixed)
        known = (*arrays(*of_parts, opened), flat(c), flat(u), *arrays(weights, mixed))
        backward(*known, *arrays(dc, du, dweights, dmix), _places(u, gates))
        return dc, du, dweights, dmix[:, :gates]


def _in_rows(x: Tensor) -> Tensor:
    """``x`` (B, T, E) with all its rows equally far apart."""
    rows, steps, width = x.shape
    row, apart, one = x.stride()
    alike = one == 1 and apart >= width and (rows == 1 or row == steps * apart)
    return x if alike and steps > 1 else x.contiguous()


def _places(u: Tensor, gates: int) -> Any:
    rows, steps, width = u.shape
    return np.array([rows * steps, width, u.stride(1) if steps > 1 else width, gates])
