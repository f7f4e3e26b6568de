"""Matrix memories trained on one core of a CPU: one loop forward and one back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.memories import delta_rule as deltas
from archsearch.kernels.memories import fading_loops
from archsearch.kernels.memories import gated_delta as gated
from archsearch.kernels.memories import linear_attention as attention
from archsearch.kernels.memories import signed_attention as signed
from archsearch.kernels.memories import stabilised_attention as stable
from archsearch.kernels.memories.memory_loops import CHUNK, backward, fill, forward
from archsearch.kernels.trained import arrays, flat, trained

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
    return _Memory.apply(q, k, v, _spread(log_decay, q), None, memory, _of_logarithm)  # type: ignore[no-any-return]


def signed_attention(
    q: Tensor, k: Tensor, v: Tensor, factor: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.signed_attention.signed_attention`."""
    inputs = (q, k, v, factor, memory)
    if not _fits(inputs):
        return signed.signed_attention.plain(*inputs)  # type: ignore[attr-defined,no-any-return]
    return _Memory.apply(q, k, v, _spread(factor, q), None, memory, _of_size)  # type: ignore[no-any-return]


def delta_rule(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.delta_rule.delta_rule`."""
    inputs = (q, k, v, beta, memory)
    if not _fits(inputs):
        return deltas.delta_rule.plain(*inputs)  # type: ignore[attr-defined,no-any-return]
    return _Memory.apply(q, k, v, q.new_ones(1, 1, memory.shape[1], 1), beta, memory, None)  # type: ignore[no-any-return]


def gated_delta(
    q: Tensor, k: Tensor, v: Tensor, beta: Tensor, log_decay: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.gated_delta.gated_delta`."""
    inputs = (q, k, v, beta, log_decay, memory)
    if not _fits(inputs):
        return gated.gated_delta.plain(*inputs)  # type: ignore[attr-defined,no-any-return]
    return _Memory.apply(q, k, v, _spread(log_decay, q), beta, memory, _of_logarithm)  # type: ignore[no-any-return]


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
    found, held = _Memory.apply(q, added, pad(v, (0, 1), value=1.0), kept, None, held, None)
    return stable.quotient(found, now), (held, now[:, -1])


def _fits(inputs: tuple[Tensor, ...]) -> bool:
    memory = inputs[-1]
    return memory.shape[-2] * memory.shape[-1] <= LARGEST and trained(inputs, NATIVE)


def _spread(decay: Tensor, q: Tensor) -> Tensor:
    return decay if decay.ndim == q.ndim else decay[..., None]


def _of_logarithm(rates: Tensor) -> Tensor:
    return rates.clamp_min(attention.SLOWEST_LOG_DECAY).exp_()


def _of_size(rates: Tensor) -> Tensor:
    return rates if rates.min() >= signed.SMALLEST else signed.floored(rates)


class _Memory(torch.autograd.Function):
    """Of q, k, v, rates, the strength or None, and the memory; see ``memory_loops``.

    The share kept is what ``rule`` makes of the rates, or they themselves.
    """

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        rates: Tensor,
        beta: Tensor | None,
        first: Tensor,
        rule: Callable[[Tensor], Tensor] | None,
    ) -> tuple[Tensor, Tensor]:
        rows, heads, _, values = first.shape
        decay = rule(rates) if rule else rates
        q, k, v = _laid(q), _laid(k), _laid(v)
        decay = _filled(decay) if rates.shape[3] > 1 else decay.contiguous()
        strength = v.new_empty(0, 0, 0) if beta is None else beta.contiguous()
        out = v.new_empty(rows, q.shape[1], heads, v.shape[3])
        written = v.new_empty((0, 0, 0, 0) if beta is None else v.shape)
        memory = first.clone(memory_format=torch.contiguous_format)
        kept = v.new_empty(rows, heads, -(-v.shape[1] // CHUNK), q.shape[3], v.shape[3])
        given = (flat(q), flat(k), flat(v))
        forward(*given, *arrays(decay, strength, memory, out, written, kept), _places(q, k, v))
        v = v if beta is None else written
        ctx.save_for_backward(q, k, v, rates, decay, strength, kept)
        ctx.rule = rule
        return out[..., :values], memory

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor, dleft: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, rates, decay, beta, kept = ctx.saved_tensors
        rows, steps, heads, _ = v.shape
        keys, values = dleft.shape[-2:]
        dq, dk = (
            q.new_empty(part.shape) if part.shape[2] == heads else q.new_zeros(part.shape)
            for part in (q, k)
        )
        dv, dbeta = v.new_empty(v.shape), torch.empty_like(beta)
        wanted = ctx.needs_input_grad[3]
        ddecay = v.new_empty((rows, steps, heads, decay.shape[3]) if wanted else (0, 0, 0, 0))
        dmemory = dleft.clone(memory_format=torch.contiguous_format)
        known = (*arrays(_filled(dout)), flat(q), flat(k), flat(v), *arrays(decay))
        found, places = arrays(kept, dmemory, dq, dk, dv, ddecay), _places(q, k, v)
        if beta.numel():
            backward(*known, *arrays(beta), *found, *arrays(dbeta), places)
        else:
            fading_loops.backward(*known, *found, places)
        return (
            dq[..., :keys],
            dk[..., :keys],
            dv[..., :values],
            _drates(ddecay, rates, decay, ctx.rule) if wanted else None,
            dbeta if beta.numel() else None,
            dmemory,
            None,
        )


def _drates(
    ddecay: Tensor, rates: Tensor, decay: Tensor, rule: Callable[[Tensor], Tensor] | None
) -> Tensor:
    """The slope of the rates from that of the share kept."""
    size = rates.shape[3]
    ddecay, decay = ddecay.sum_to_size(decay.shape)[..., :size], decay[..., :size]
    if rule is _of_logarithm:
        drates, limit = ddecay * decay, attention.SLOWEST_LOG_DECAY
        return drates.masked_fill(rates < limit, 0.0) if rates.min() < limit else drates
    return ddecay if rule is None or torch.equal(rates, decay) else ddecay * (rates == decay)


def _laid(x: Tensor) -> Tensor:
    """``x`` (B, T, H, K) as it lies where positions are equally far apart, else filled up."""
    rows, steps, heads, size = x.shape
    batch, apart, head, one = x.stride()
    alike = one == 1 and (heads == 1 or head == size) and (rows == 1 or batch == steps * apart)
    fits = alike and size % WIDTH == 0 and apart >= heads * size
    return x if fits else _filled(x)


def _places(q: Tensor, k: Tensor, v: Tensor) -> Any:
    """The shape of ``v``, the positions of ``q``, and how far heads and positions lie apart."""
    own = [int(part.shape[2] > 1) * part.shape[3] for part in (q, k)]
    # of one position torch does not say how far it is from the next
    apart = [part.stride(int(part.shape[1] > 1)) for part in (q, k, v)]
    return np.array([*v.shape, q.shape[1], own[0], apart[0], own[1], apart[1], apart[2]])


def _filled(x: Tensor) -> Tensor:
    """Without gaps in memory, the last dimension up to a multiple of ``WIDTH`` with zeros."""
    x, size = x.contiguous(), x.shape[-1]
    if size % WIDTH == 0:
        return x
    filled = x.new_empty(*x.shape[:-1], size + -size % WIDTH)
    fill(*arrays(x.view(-1, size), filled.view(-1, filled.shape[-1])))
    return filled
