"""Squared attention trained on one core of a CPU, in one loop forward and one back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.attention.squared_attention import (
    squared_attention as accelerated_attention,
)
from archsearch.kernels.attention.squared_attention_loops import backward, forward
from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.trained import SINGLE, arrays, fit, once_differentiable, trained

plain: Any = accelerated_attention.plain  # type: ignore[attr-defined]


def squared_attention(
    projected: Tensor, scale: Tensor, shift: Tensor, added: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`archsearch.kernels.attention.squared_attention.squared_attention`."""
    inputs = (projected, scale, shift) if added is None else (projected, scale, shift, added)
    letters, rest = "btp cz cz", projected.shape[-1] - scale.shape[-1]
    letters = letters if added is None else letters + " d"
    if not trained(inputs, SINGLE) or not fit(letters, *inputs) or len(scale) != 2:
        return plain(projected, scale, shift, added)  # type: ignore[no-any-return]
    if rest <= 0 or rest % 2:
        return plain(projected, scale, shift, added)  # type: ignore[no-any-return]
    steps, size, values = projected.shape[1], scale.shape[1], rest // 2
    factors = pad(torch.stack([scale, shift]), (0, -size % WIDTH))
    # the loop reads whole vectors of distances, some of them before the first
    reach = torch.arange(steps + -steps % WIDTH)
    table = (
        projected.new_zeros(len(reach)) if added is None else added[reach.clamp_max(len(added) - 1)]
    )
    return _Attention.apply(projected, factors, pad(table, (WIDTH, 0)), (size, values))  # type: ignore[no-any-return]


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, projected: Tensor, factors: Tensor, table: Tensor, sizes: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        size, values = sizes
        projected = projected.contiguous()
        rows, steps, _ = projected.shape
        seen, gated, v = (projected.new_empty(rows, steps, values) for _ in range(3))
        k = projected.new_empty(rows, steps, size)
        forward(*arrays(projected, factors, table, seen, gated, k, v))
        ctx.save_for_backward(projected, factors, table, seen, k, v)
        ctx.set_materialize_grads(False)
        return gated, k, v

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, dgated: Tensor | None, dk: Tensor | None, dv: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        projected, factors, table, seen, k, v = ctx.saved_tensors
        dgated = torch.zeros_like(seen) if dgated is None else dgated
        dk, dv = (seen.new_empty(0, 0, 0) if part is None else part for part in (dk, dv))
        dprojected, dtable = torch.empty_like(projected), torch.zeros_like(table)
        dfactors = factors.new_empty(len(projected), *factors.shape)
        given = arrays(projected, factors, table, seen, k, v, dgated, dk, dv)
        backward(*given, *arrays(dprojected, dfactors, dtable))
        return dprojected, dfactors.sum(0), dtable, None
