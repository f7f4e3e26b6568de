"""Linear attention over elu(x) + 1 trained on one core of a CPU.

One pass makes features of a projection, one divides; the memory between them is a tiled one.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.memories.memory_cpu import LARGEST
from archsearch.kernels.memories.positive import positive_loops
from archsearch.kernels.memories.positive.positive_attention import SMALLEST_SUM
from archsearch.kernels.memories.positive.positive_attention import (
    positive_attention as accelerated_attention,
)
from archsearch.kernels.memories.tile_cpu import SMALL, TiledMemory, of_logarithm
from archsearch.kernels.trained import SINGLE, arrays, fit, once_differentiable, trained

plain: Any = accelerated_attention.plain  # type: ignore[attr-defined]


def positive_attention(projected: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.positive.positive_attention.positive_attention`."""
    size, whole = memory.shape[-2:]
    if size * whole > LARGEST or not trained((projected, memory), SINGLE):
        return plain(projected, memory)  # type: ignore[no-any-return]
    fits = fit("btp bhks", projected, memory) and whole == size + 1
    if not fits or projected.shape[2] != 3 * memory.shape[1] * size:
        return plain(projected, memory)  # type: ignore[no-any-return]
    q, k, v = _Parts.apply(projected, memory.shape[1])  # v (B, T, H, whole tiles)
    memory = pad(memory, (0, v.shape[-1] - whole))
    read, left = TiledMemory.apply(q, k, v, None, None, memory, of_logarithm)
    return _Quotient.apply(read, size), left[..., :whole]


class _Parts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, heads: int) -> tuple[Tensor, ...]:
        projected = projected.contiguous()
        rows, steps, wide = projected.shape
        size = wide // (3 * heads)
        q, k = (projected.new_empty(rows, steps, heads, size) for _ in range(2))
        v = projected.new_empty(rows, steps, heads, size + 1 + -(size + 1) % SMALL)
        positive_loops.parted(*arrays(projected, q, k, v))
        ctx.save_for_backward(projected)
        return q, k, v

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dq: Tensor, dk: Tensor, dv: Tensor) -> tuple[Tensor, None]:
        (projected,) = ctx.saved_tensors
        dprojected = torch.empty_like(projected)
        positive_loops.joined(*arrays(projected, dq, dk, dv, dprojected))
        return dprojected, None


class _Quotient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, read: Tensor, size: int) -> Tensor:
        read = read.contiguous()
        y = read.new_empty(*read.shape[:2], read.shape[2] * size)
        ctx.least = read.new_tensor([SMALLEST_SUM])
        positive_loops.divided(*arrays(read, ctx.least, y))
        ctx.save_for_backward(read, y)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        read, y = ctx.saved_tensors
        dread = torch.empty_like(read)
        positive_loops.divided_back(*arrays(dy, y, read, ctx.least, dread))
        return dread, None
