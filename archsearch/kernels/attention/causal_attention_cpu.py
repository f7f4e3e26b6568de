"""Causal attention trained on one core of a CPU, in one loop forward and one back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.attention.causal_attention import (
    causal_attention as accelerated_attention,
)
from archsearch.kernels.attention.causal_attention_loops import backward, forward
from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.trained import SINGLE, arrays, once_differentiable, trained

plain: Any = accelerated_attention.plain  # type: ignore[attr-defined]


def causal_attention(
    projected: Tensor, turns: Tensor | None, added: Tensor | None, heads: int, key_heads: int
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.attention.causal_attention.causal_attention`."""
    inputs = (projected,) if added is None else (projected, added)
    if not trained(inputs, SINGLE) or not _fits(projected, turns, added, heads, key_heads):
        return plain(projected, turns, added, heads, key_heads)  # type: ignore[no-any-return]
    size = projected.shape[-1] // (heads + 2 * key_heads)
    spins = projected.new_empty(0, 0, 2) if turns is None else torch.view_as_real(turns)
    if added is not None:
        # the loop reads whole vectors of distances, some of them before the first or after the last
        rest = -added.shape[1] % WIDTH
        added = pad(added, (WIDTH, rest))
    return _Attention.apply(projected, added, spins, (heads, key_heads, size))  # type: ignore[no-any-return]


def _fits(
    projected: Tensor, turns: Tensor | None, added: Tensor | None, heads: int, key_heads: int
) -> bool:
    *_, steps, whole = projected.shape
    size, more = divmod(whole, heads + 2 * key_heads)
    shared = projected.ndim == 3 and not more and heads % key_heads == 0
    rotated = turns is None or (
        turns.dtype == torch.complex64
        and 2 * turns.shape[-1] == size
        and turns.shape[:-1] == (steps,)
    )
    return shared and rotated and (added is None or added.shape == (heads, steps))


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        projected: Tensor,
        added: Tensor | None,
        spins: Tensor,
        sizes: tuple[int, int, int],
    ) -> tuple[Tensor, Tensor]:
        heads, key_heads, size = sizes
        projected = projected.contiguous()
        rows, steps, _ = projected.shape
        padded = steps + -steps % WIDTH
        o = projected.new_empty(rows, steps, heads * size)
        compared = projected.new_empty(rows, steps, key_heads * size)
        # of each query, its largest score and one over the sum
        known = projected.new_empty(rows, heads, 2, padded)
        table = projected.new_empty(heads, 0) if added is None else added
        forward(*arrays(projected, table, spins, o, compared, known))
        ctx.save_for_backward(projected, table, spins, o, compared, known)
        ctx.set_materialize_grads(False)
        return o, compared

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, do: Tensor | None, dcompared: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        projected, table, spins, o, compared, known = ctx.saved_tensors
        do = torch.zeros_like(o) if do is None else do
        dcompared = compared.new_empty(0, 0, 0) if dcompared is None else dcompared
        dprojected, dtable = torch.empty_like(projected), torch.zeros_like(table)
        given = arrays(projected, table, spins, o, compared, known, do, dcompared)
        backward(*given, *arrays(dprojected, dtable))
        return dprojected, dtable if ctx.needs_input_grad[1] else None, None, None
