"""Diagonal gated recurrences trained on one core of a CPU, in one loop forward and one back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.recurrences import diagonal, diagonal_gru_loops, diagonal_lstm_loops
from archsearch.kernels.trained import SINGLE, arrays, fit, once_differentiable, trained


def diagonal_gru(drives: Tensor, bias: Tensor, a: Tensor, h: Tensor) -> Tensor:
    """See :func:`archsearch.kernels.recurrences.diagonal.diagonal_gru`.

    Torch does what is only evaluated, recorded, or in another precision.
    """
    given = drives, bias, a, h
    if (
        not trained(given, SINGLE)
        or not fit("btg g aw bw", *given)
        or not diagonal.made(bias, a, 3)
    ):
        return diagonal.diagonal_gru.plain(*given)  # type: ignore[attr-defined,no-any-return]
    width = h.shape[-1]
    y = _GRU.apply(*(_whole_lanes(part, width) for part in given))
    return y[..., :width]  # type: ignore[no-any-return]


def diagonal_lstm(
    drives: Tensor, bias: Tensor, weights: Tensor, h: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.recurrences.diagonal.diagonal_lstm`."""
    given = drives, bias, weights, h, c
    fits = trained(given, SINGLE) and fit("btg g aw bw bw", *given)
    if not fits or not diagonal.made(bias, weights, 5):
        return diagonal.diagonal_lstm.plain(*given)  # type: ignore[attr-defined,no-any-return]
    width = h.shape[-1]
    y, last = _LSTM.apply(*(_whole_lanes(part, width) for part in given))
    return y[..., :width], last[..., :width]


def _whole_lanes(x: Tensor, width: int) -> Tensor:
    """(.., n W) with units that nothing drives after each W, as many as lanes want."""
    lacking = -width % WIDTH
    return pad(x.unflatten(-1, (-1, width)), (0, lacking)).flatten(-2) if lacking else x


class _GRU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, drives: Tensor, bias: Tensor, a: Tensor, h0: Tensor) -> Tensor:
        y, kept = drives.new_empty(*drives.shape[:2], a.shape[1]), drives.new_empty(drives.shape)
        h = h0.clone(memory_format=torch.contiguous_format)
        diagonal_gru_loops.forward(*arrays(drives, bias, a, h, y, kept))
        ctx.save_for_backward(y, h0, a, kept)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        y, h0, a, kept = ctx.saved_tensors
        found = torch.empty_like(kept), *(y.new_zeros(size) for size in (a.numel(), a.shape))
        dh = y.new_zeros(h0.shape)
        diagonal_gru_loops.backward(*arrays(dy, y, h0, a, kept, *found, dh))
        return *found, dh


class _LSTM(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, drives: Tensor, bias: Tensor, weights: Tensor, h0: Tensor, c0: Tensor
    ) -> tuple[Tensor, Tensor]:
        width = h0.shape[1]
        y = drives.new_empty(*drives.shape[:2], width)
        kept = drives.new_empty(*drives.shape[:2], 4 * width)
        h, c = (part.clone(memory_format=torch.contiguous_format) for part in (h0, c0))
        diagonal_lstm_loops.forward(*arrays(drives, bias, weights, h, c, y, kept))
        ctx.save_for_backward(y, h0, c0, weights, kept)
        return y, c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dlast: Tensor) -> tuple[Tensor, ...]:
        y, h0, c0, weights, kept = ctx.saved_tensors
        ddrives = y.new_empty(*y.shape[:2], 3 * y.shape[2])
        dbias, dweights = y.new_zeros(3 * y.shape[2]), y.new_zeros(weights.shape)
        dh, dc = y.new_zeros(h0.shape), dlast.clone(memory_format=torch.contiguous_format)
        diagonal_lstm_loops.backward(
            *arrays(dy, y, h0, c0, weights, kept, ddrives, dbias, dweights, dh, dc)
        )
        return ddrives, dbias, dweights, dh, dc
