"""A stabilised memory trained on one core of a CPU: one loop forward and one back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from archsearch.kernels.memories.stabilised import stabilised_attention as stable
from archsearch.kernels.memories.stabilised.stabilised_loops import WIDTH, forward, logarithms
from archsearch.kernels.memories.stabilised.stabilised_slopes import backward
from archsearch.kernels.trained import arrays, fit, flat, once_differentiable, trained

NATIVE = (torch.float32, torch.float64)
# numbers in a memory, beyond which the nearest caches do not hold it
LARGEST = 128 * 128


def stabilised_attention(
    q: Tensor, k: Tensor, v: Tensor, gate: Tensor, log_forget: Tensor, memory: stable.Memory
) -> tuple[Tensor, stable.Memory]:
    """See :mod:`archsearch.kernels.memories.stabilised.stabilised_attention`."""
    held, size = memory
    inputs = (q, k, v, gate, log_forget, held, size)
    small = held.shape[-2] * held.shape[-1] <= LARGEST and held.shape[-1] == v.shape[-1] + 1
    fits = small and trained(inputs, NATIVE) and fit("bthk bthk bthv bth bth bhks bh", *inputs)
    if not fits:
        return stable.stabilised_attention.plain(*inputs[:5], memory)  # type: ignore[attr-defined,no-any-return]
    out, held, size = _Memory.apply(*inputs)
    return out, (held, size)


class _Memory(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> tuple[Tensor, ...]:
        q, k, v, gate, log_forget, held, size = inputs
        q, k, v = (_in_place(part) for part in (q, k, v))
        rows, heads, values = len(v), *v.shape[2:]
        gates, size = _opened(gate, log_forget, size)
        held = held.clone(memory_format=torch.contiguous_format)
        out, chunks = v.new_empty(v.shape), gates.shape[2]
        wide, wide_v = (count + -count % WIDTH for count in (q.shape[3], values))
        scores = v.new_empty(rows, heads, chunks, WIDTH, WIDTH)
        before = v.new_empty(rows, heads, chunks, wide * (wide_v + 1))
        found = arrays(gates, held, out, scores, before)
        forward(flat(q), flat(k), flat(v), *found, _places(q, k, v))
        ctx.save_for_backward(q, k, v, log_forget, out, gates, scores, before)
        ctx.mark_non_differentiable(size)
        return out, held, size

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor, dheld: Tensor, _: Tensor) -> tuple[Tensor, ...]:
        q, k, v, log_forget, out, *known = ctx.saved_tensors
        dq, dk, dv = q.new_empty(q.shape), k.new_empty(k.shape), v.new_empty(v.shape)
        dlogs = q.new_empty(2, *log_forget.shape)
        dheld = dheld.clone(memory_format=torch.contiguous_format)
        given = (*arrays(dout, out), flat(q), flat(k), flat(v), *arrays(*known))
        backward(*given, *arrays(dheld, dq, dk, dv, dlogs), _places(q, k, v))
        dforget, dgate = dlogs
        # m before the first position is in its share kept alone
        dsize = dforget[:, 0].clone()
        dforget = dforget.masked_fill_(log_forget < stable.SMALLEST_LOG_FORGET, 0.0)
        return dq, dk, dv, dgate, dforget, dheld, dsize


def _opened(gate: Tensor, log_forget: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """The gates (B, H, chunks, 4, C) of the loops, and m after them."""
    rows, steps, heads = gate.shape
    logs = gate.new_empty(rows, heads, -(-steps // WIDTH), 4, WIDTH)
    size = size.clone(memory_format=torch.contiguous_format)
    limits = (stable.SMALLEST_LOG_FORGET, math.log(stable.SMALLEST_SUM), stable.GREATEST_FLOOR)
    logarithms(*arrays(gate, log_forget, size), np.array(limits, size.numpy().dtype), logs.numpy())
    logs[..., :3, :].exp_()
    return logs, size


def _in_place(x: Tensor) -> Tensor:
    """``x`` (B, T, H, K) where it lies, unless its last numbers are apart or places overlap."""
    fits = x.stride(3) == 1 or x.shape[3] == 1
    return x if fits and min(x.stride()) > 0 else x.contiguous()


def _places(*parts: Tensor) -> Any:
    """B, T, H, K, V, and how far rows, positions and heads of each lie apart."""
    q, _, v = parts
    apart = [step for part in parts for step in part.stride()[:3]]
    return np.array([*q.shape, v.shape[3], *apart])
