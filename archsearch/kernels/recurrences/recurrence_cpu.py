"""The gated recurrent unit trained on one core of a CPU, in one loop forward and one back.

A wide one, whose time goes into matrix products, leaves those of each step to BLAS.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from archsearch.kernels.recurrences.recurrence import gru as accelerated_gru
from archsearch.kernels.recurrences.recurrence_loops import backward, forward
from archsearch.kernels.recurrences.wide_loops import backward_step, forward_step
from archsearch.kernels.trained import SINGLE, arrays, fit, once_differentiable, trained

# beyond this width nearly all time goes into matrix products, at which BLAS is the better
WIDEST = 128
plain: Any = accelerated_gru.plain  # type: ignore[attr-defined]


def gru(
    x: Tensor, h0: Tensor, weight: Tensor, recurrent: Tensor, bias: Tensor, inner_bias: Tensor
) -> Tensor:
    """See :func:`archsearch.kernels.recurrences.recurrence.gru`.

    Torch does what is only evaluated, recorded, or in another precision.
    """
    inputs = (x, h0, weight, recurrent, bias, inner_bias)
    fits = trained(inputs, SINGLE) and fit("bti bs gi gs g s", *inputs)
    if not fits or len(bias) != 3 * len(inner_bias):
        return plain(*inputs)  # type: ignore[no-any-return]
    if len(inner_bias) > WIDEST:
        # steps first, so that each of them lies in one piece
        gates = linear(x.transpose(0, 1), weight, bias)
        return _WideGRU.apply(gates, recurrent, inner_bias, h0).transpose(0, 1)  # type: ignore[no-any-return]
    return _GRU.apply(linear(x, weight, bias), recurrent, inner_bias, h0)  # type: ignore[no-any-return]


class _GRU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, recurrent: Tensor, bias: Tensor, h0: Tensor) -> Tensor:
        y = gates.new_empty(*gates.shape[:2], len(bias))
        kept = gates.new_empty(*gates.shape[:2], 4 * len(bias))
        forward(*arrays(gates, recurrent.t(), bias, h0, y, kept))
        ctx.save_for_backward(y, kept, recurrent, h0)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        y, kept, recurrent, h0 = ctx.saved_tensors
        width = y.shape[2]
        dgates = y.new_empty(*y.shape[:2], 3 * width)
        dinner, dh = torch.empty_like(y), y.new_zeros(h0.shape)
        backward(*arrays(dy, y, h0, kept, recurrent, dgates, dinner, dh))
        before = torch.cat([h0[:, None], y[:, :-1]], 1).flatten(0, 1)
        drecurrent = torch.empty_like(recurrent, memory_format=torch.contiguous_format)
        torch.mm(dgates.flatten(0, 1)[:, : 2 * width].t(), before, out=drecurrent[: 2 * width])
        torch.mm(dinner.flatten(0, 1).t(), before, out=drecurrent[2 * width :])
        return dgates, drecurrent, dinner.sum((0, 1)), dh


class _WideGRU(torch.autograd.Function):
    """Gates (T, B, 3 W), the matrix of all three (3 W, W), b' (W,) and h0 (B, W)."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, recurrent: Tensor, bias: Tensor, h0: Tensor) -> Tensor:
        steps, batch, width = *gates.shape[:2], len(bias)
        y, kept = gates.new_empty(steps, batch, width), gates.new_empty(steps, batch, 4 * width)
        hidden, matrix, h = gates.new_empty(batch, 3 * width), recurrent.t(), h0.contiguous()
        given, shared, inner, states, known = arrays(gates, hidden, bias, y, kept)
        (before,) = arrays(h)
        for t in range(steps):
            torch.mm(h, matrix, out=hidden)
            forward_step(given[t], shared, inner, before, states[t], known[t])
            h, before = y[t], states[t]
        ctx.save_for_backward(y, kept, recurrent, h0)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        y, kept, recurrent, h0 = ctx.saved_tensors
        steps, batch, width = y.shape
        dgates, dh = y.new_empty(steps, batch, 3 * width), y.new_zeros(batch, width)
        slopes = y.new_empty(steps, batch, 3 * width)
        wanted, states, first, known = arrays(dy, y, h0, kept)
        found, shared, falling = arrays(dgates, slopes, dh)
        for t in range(steps - 1, -1, -1):
            before = states[t - 1] if t else first
            backward_step(wanted[t], before, known[t], found[t], shared[t], falling)
            dh.addmm_(slopes[t], recurrent)
        before = torch.cat([h0[None], y[:-1]]).flatten(0, 1)
        drecurrent = slopes.flatten(0, 1).t() @ before
        return dgates, drecurrent, slopes[..., 2 * width :].sum((0, 1)), dh
