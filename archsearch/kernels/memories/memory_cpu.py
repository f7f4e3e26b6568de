"""Matrix memories trained on one core of a CPU: one loop forward and one back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.memories import delta_rule as deltas
from archsearch.kernels.memories import gated_delta as gated
from archsearch.kernels.memories import linear_attention as attention
from archsearch.kernels.memories import signed_attention as signed
from archsearch.kernels.memories import stabilised_attention as stable
from archsearch.kernels.memories.memory_loops import CHUNK, backward, fill, forward
from archsearch.kernels.trained import arrays, trained

# numbers in a memory, beyond which products of matrices are the better
LARGEST = 128 * 128
NATIVE = (torch.float32, torch.float64)


def linear_attention(
    q: Tensor, k: Tensor, v: Tensor, log_decay: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.linear_attention.linear_attention`."""
    inputs = (q, k, v, log_decay, memory)
    if not _fits(inputs):
        return attention.linear_attention.plain(*inputs)  # type: ignore[attr-defined,no-any-return]
    decay = log_decay.clamp_min(attention.SLOWEST_LOG_DECAY).exp()
    return _Memory.apply(q, k, v, _spread(decay, q), None, memory)  # type: ignore[no-any-return]


def signed_attention(
    q: Tensor, k: Tensor, v: Tensor, factor: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.signed_attention.signed_attention`."""
    inputs = (q, k, v, factor, memory)
    if not _fits(inputs):
        return signed.signed_attention.plain(*inputs)  # type: ignore[attr-defined,no-any-return]
    return _Memory.apply(q, k, v, _spread(signed.floored(factor), q), None, memory)  # type: ignore[no-any-return]


def delta_rule(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.delta_rule.delta_rule`."""
    inputs = (q, k, v, beta, memory)
    if not _fits(inputs):
        return deltas.delta_rule.plain(*inputs)  # type: ignore[attr-defined,no-any-return]
    return _Memory.apply(q, k, v, q.new_ones(1, 1, memory.shape[1], 1), beta, memory)  # type: ignore[no-any-return]


def gated_delta(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_decay: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.gated_delta.gated_delta`."""
    inputs = (q, k, v, beta, log_decay, memory)
    if not _fits(inputs):
        return gated.gated_delta.plain(*inputs)  # type: ignore[attr-defined,no-any-return]
    decay = log_decay.clamp_min(attention.SLOWEST_LOG_DECAY).exp()
    return _Memory.apply(q, k, v, _spread(decay, q), beta, memory)  # type: ignore[no-any-return]


def stabilised_attention(
    q: Tensor, k: Tensor, v: Tensor, gate: Tensor, log_forget: Tensor, memory: stable.Memory
) -> tuple[Tensor, stable.Memory]:
    """See :func:`archsearch.kernels.memories.stabilised_attention.stabilised_attention`."""
    held, size = memory
    if not _fits((q, k, v, gate, log_forget, size, held)):
        return stable.stabilised_attention.plain(q, k, v, gate, log_forget, memory)  # type: ignore[attr-defined,no-any-return]
    log_forget = log_forget.clamp_min(stable.SMALLEST_LOG_FORGET)
    with torch.no_grad():
        # over a long sequence what was forgotten sums to more than single precision resolves
        fallen = log_forget.double().cumsum(1)
        most = torch.maximum(size[:, None], (gate - fallen).cummax(1).values)
        now = (fallen + most).to(q.dtype)  # m at every position (B, T, H)
        before = torch.cat([size[:, None], now[:, :-1]], 1)
    kept = (log_forget + before - now).exp()[..., None]
    added = (gate - now).exp()[..., None] * k
    found, held = _Memory.apply(q, added, pad(v, (0, 1), value=1.0), kept, None, held)
    return stable.quotient(found, now), (held, now[:, -1])


def _fits(inputs: tuple[Tensor, ...]) -> bool:
    memory = inputs[-1]
    return memory.shape[-2] * memory.shape[-1] <= LARGEST and trained(inputs, NATIVE)


def _spread(decay: Tensor, q: Tensor) -> Tensor:
    return decay if decay.ndim == q.ndim else decay[..., None]


class _Memory(torch.autograd.Function):
    """Of q, k, v, the share kept, the strength or None, and the memory; see ``memory_loops``."""

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, decay: Tensor, beta: Tensor | None, first: Tensor
    ) -> tuple[Tensor, Tensor]:
        rows, heads, keys, values = first.shape
        own = decay.shape[3] > 1
        q, k, v = _filled(q), _filled(k), _filled(v)
        decay = _filled(decay) if own else decay.contiguous()
        strength = v.new_empty(0, 0, 0) if beta is None else beta.contiguous()
        out, written = torch.empty_like(v), v.new_empty((0, 0, 0, 0) if beta is None else v.shape)
        memory = first.clone(memory_format=torch.contiguous_format)
        kept = v.new_empty(rows, heads, -(-v.shape[1] // CHUNK), keys, values)
        forward(*arrays(q, k, v, decay, strength, memory, out, written, kept))
        ctx.save_for_backward(q, k, v if beta is None else written, decay, strength, kept)
        ctx.own = own
        return out[..., :values], memory

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor, dleft: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, decay, beta, kept = ctx.saved_tensors
        rows, steps, heads, _ = v.shape
        keys, values = kept.shape[-2:]
        dq, dk = (
            torch.empty_like(part) if part.shape[2] == heads else torch.zeros_like(part)
            for part in (q, k)
        )
        dv, dbeta = torch.empty_like(v), torch.empty_like(beta)
        wanted = ctx.needs_input_grad[3]
        ddecay = v.new_empty((rows, steps, heads, decay.shape[3]) if wanted else (0, 0, 0, 0))
        dmemory = dleft.clone(memory_format=torch.contiguous_format)
        slopes = (_filled(dout), q, k, v, decay, beta, kept, dmemory, dq, dk, dv, ddecay, dbeta)
        backward(*arrays(*slopes))
        ddecay = ddecay.sum_to_size(decay.shape)[..., : keys if ctx.own else 1] if wanted else None
        return (
            dq[..., :keys],
            dk[..., :keys],
            dv[..., :values],
            ddecay,
            dbeta if beta.numel() else None,
            dmemory,
        )


def _filled(x: Tensor) -> Tensor:
    """Without gaps in memory, the last dimension up to a multiple of ``WIDTH`` with zeros."""
    x, size = x.contiguous(), x.shape[-1]
    if size % WIDTH == 0:
        return x
    filled = x.new_empty(*x.shape[:-1], size + -size % WIDTH)
    fill(*arrays(x.view(-1, size), filled.view(-1, filled.shape[-1])))
    return filled
