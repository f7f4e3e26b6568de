"""Matrix memories on a GPU: a program keeps some columns of one head's memory in its registers.

The columns of a memory never meet, so they are what runs side by side, with the heads and the
sequences. On the way forward the memory is kept at every :data:`STRETCH`-th position; on the way
back each stretch is walked once more, its memories noted, before its slopes are found.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor

from archsearch.kernels.memories import delta_rule as deltas
from archsearch.kernels.memories import gated_delta as gated
from archsearch.kernels.memories import linear_attention as attention
from archsearch.kernels.memories import signed_attention as signed
from archsearch.kernels.memories.linear_attention import SLOWEST_LOG_DECAY
from archsearch.kernels.memories.memory_programs import backward_program, forward_program
from archsearch.kernels.memories.memory_shapes import overwriting_fits, read_fits
from archsearch.kernels.memories.signed_attention import floored
from archsearch.kernels.trained import once_differentiable

STRETCH = 32  # positions between memories that are kept
COLUMNS = 16  # of a memory, held by one program


def linear_attention(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.linear_attention.linear_attention`."""
    if not read_fits(q, k, v, log_decay, memory):
        return attention.linear_attention.plain(q, k, v, log_decay, memory)  # type: ignore[attr-defined,no-any-return]
    return _remembered(q, k, v, log_decay.clamp_min(SLOWEST_LOG_DECAY).exp(), None, memory)


def signed_attention(
    q: Tensor, k: Tensor, v: Tensor, factor: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.signed_attention.signed_attention`."""
    if not read_fits(q, k, v, factor, memory):
        return signed.signed_attention.plain(q, k, v, factor, memory)  # type: ignore[attr-defined,no-any-return]
    return _remembered(q, k, v, floored(factor), None, memory)


def delta_rule(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.delta_rule.delta_rule`."""
    if not overwriting_fits(q, k, v, beta, memory):
        return deltas.delta_rule.plain(q, k, v, beta, memory)  # type: ignore[attr-defined,no-any-return]
    return _remembered(q, k, v, None, beta, memory)


def gated_delta(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_decay: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.gated_delta.gated_delta`."""
    if not overwriting_fits(q, k, v, beta, log_decay, memory):
        return gated.gated_delta.plain(q, k, v, beta, log_decay, memory)  # type: ignore[attr-defined,no-any-return]
    return _remembered(q, k, v, log_decay.clamp_min(SLOWEST_LOG_DECAY).exp(), beta, memory)


def _remembered(
    q: Tensor, k: Tensor, v: Tensor, decay: Tensor | None, beta: Tensor | None, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """Any of them, in single precision at least; what is shared is spread here, and summed back."""
    kind = torch.promote_types(q.dtype, memory.dtype)
    working = torch.promote_types(kind, torch.float32)
    rows, heads = memory.shape[:2]
    steps = v.shape[1]
    q, k = (part.expand(rows, -1, heads, -1).to(working) for part in (q, k))
    if decay is not None:
        decay = decay if decay.ndim == q.ndim else decay[..., None]
        decay = decay.expand(rows, steps, heads, -1).to(working)
    strength = None if beta is None else beta.expand(rows, steps, heads).to(working)
    out, left = _Memory.apply(q, k, v.to(working), decay, strength, memory.to(working))
    return out.to(kind), left.to(kind)


class _Memory(torch.autograd.Function):
    """q (B, T / n, H, K), k (B, T, H, K), v, decay (B, T, H, K or 1), beta (B, T, H), memory."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        decay: Tensor | None,
        beta: Tensor | None,
        first: Tensor,
    ) -> tuple[Tensor, Tensor]:
        q, k, v, first = (part.contiguous() for part in (q, k, v, first))
        decay = None if decay is None else decay.contiguous()
        beta = None if beta is None else beta.contiguous()
        rows, steps, heads, values = v.shape
        out = v.new_empty(*q.shape[:3], values)
        kept = v.new_empty(rows, heads, triton.cdiv(steps, STRETCH), *first.shape[2:])
        left = torch.empty_like(first)
        if v.numel():
            sizes, settings = _sizes(q, v), _settings(q, k, decay, beta)
            forward_program[(rows * heads, triton.cdiv(values, COLUMNS))](
                q, k, v, decay, beta, first, out, kept, left, *sizes[1:], **settings
            )
        ctx.save_for_backward(q, k, v, decay, beta, kept)
        return out, left

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor, dleft: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, decay, beta, kept = ctx.saved_tensors
        rows, _, heads, values = v.shape
        blocks = triton.cdiv(values, COLUMNS)
        # every block of columns adds to the slopes of what all columns share
        dq, dk = v.new_empty(blocks, *q.shape), v.new_empty(blocks, *k.shape)
        ddecay = None if decay is None else v.new_empty(blocks, *decay.shape)
        dbeta = None if beta is None else v.new_empty(blocks, *beta.shape)
        dv, dfirst = torch.empty_like(v), v.new_empty(dleft.shape)
        if v.numel():
            noted = v.new_empty(rows * heads, blocks, STRETCH, k.shape[-1], COLUMNS)
            sizes, settings = _sizes(q, v), _settings(q, k, decay, beta)
            backward_program[(rows * heads, blocks)](
                q, k, v, decay, beta, kept, dout.contiguous(), dleft.contiguous(), noted,
                dq, dk, dv, ddecay, dbeta, dfirst, *sizes, **settings,
            )  # fmt: skip
        shared = (None if part is None else part.sum(0) for part in (ddecay, dbeta))
        return dq.sum(0), dk.sum(0), dv, *shared, dfirst


def _sizes(q: Tensor, v: Tensor) -> tuple[int, ...]:
    """Rows, positions, heads, keys, values."""
    return (*v.shape[:3], q.shape[-1], v.shape[-1])


def _settings(q: Tensor, k: Tensor, decay: Tensor | None, beta: Tensor | None) -> dict[str, Any]:
    fades = "not"
    if decay is not None:
        fades = "apart" if decay.shape[-1] == k.shape[-1] else "alike"
    return {
        "EACH": k.shape[1] // q.shape[1],
        "FADES": fades,
        "OVERWRITES": beta is not None,
        "KEYS": triton.next_power_of_2(k.shape[-1]),
        "COLUMNS": COLUMNS,
        "STRETCH": STRETCH,
    }
