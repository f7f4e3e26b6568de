"""Gated recurrences without a matrix on a GPU, in one launch forward and one back.

In single precision; torch does what is in double.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
import triton
from torch import Tensor

from archsearch.kernels.recurrences import diagonal, diagonal_programs
from archsearch.kernels.trained import fit, once_differentiable

THREADS = 128


def diagonal_gru(drives: Tensor, bias: Tensor, a: Tensor, h: Tensor) -> Tensor:
    """See :func:`archsearch.kernels.recurrences.diagonal.diagonal_gru`."""
    kind = _kind((drives, bias, a, h), "btg g nw bw")
    if kind is None or not diagonal.made(bias, a, 3):
        return diagonal.diagonal_gru.plain(drives, bias, a, h)  # type: ignore[attr-defined,no-any-return]
    driven = drives.float() + bias.float()
    return _GRU.apply(driven, a.float(), h.float()).to(kind)  # type: ignore[no-any-return]


def diagonal_lstm(
    drives: Tensor, bias: Tensor, weights: Tensor, h: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.recurrences.diagonal.diagonal_lstm`."""
    kind = _kind((drives, bias, weights, h, c), "btg g nw bw bw")
    if kind is None or not diagonal.made(bias, weights, 5):
        return diagonal.diagonal_lstm.plain(drives, bias, weights, h, c)  # type: ignore[attr-defined,no-any-return]
    driven = drives.float() + bias.float()
    y, last = _LSTM.apply(driven, weights.float(), h.float(), c.float())
    return y.to(kind), last.to(kind)


def _kind(inputs: tuple[Tensor, ...], letters: str) -> torch.dtype | None:
    """The type of number of the outputs, or None where torch is to do it."""
    kind = reduce(torch.promote_types, (part.dtype for part in inputs))
    unfit = not inputs[0].numel() or not fit(letters, *inputs)
    return None if kind == torch.float64 or unfit else kind


def _grid(driven: Tensor) -> tuple[int, int]:
    return len(driven), triton.cdiv(driven.shape[2] // 3, THREADS)


def _before(first: Tensor, states: Tensor) -> Tensor:
    """The state before every step, (B, T, W)."""
    return torch.cat([first[:, None], states[:, :-1]], 1)


class _GRU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, driven: Tensor, a: Tensor, h0: Tensor) -> Tensor:
        driven, a, h0 = (part.contiguous() for part in (driven, a, h0))
        rows, steps, width = *driven.shape[:2], h0.shape[1]
        y, kept = driven.new_empty(rows, steps, width), torch.empty_like(driven)
        diagonal_programs.gru_forward[_grid(driven)](
            driven, a, h0, y, kept, steps, width, THREADS=THREADS
        )
        ctx.save_for_backward(a, h0, y, kept)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, h0, y, kept = ctx.saved_tensors
        ddriven, dh0 = torch.empty_like(kept), torch.empty_like(h0)
        diagonal_programs.gru_backward[_grid(kept)](
            dy.contiguous(), a, h0, y, kept, ddriven, dh0, *y.shape[1:], THREADS=THREADS
        )
        before, width = _before(h0, y), y.shape[2]
        heard = torch.cat([before, before, before * kept[..., width : 2 * width]], -1)
        return ddriven, (ddriven * heard).sum((0, 1)).view_as(a), dh0


class _LSTM(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, driven: Tensor, weights: Tensor, h0: Tensor, c0: Tensor
    ) -> tuple[Tensor, Tensor]:
        driven, weights, h0, c0 = (part.contiguous() for part in (driven, weights, h0, c0))
        rows, steps, width = *driven.shape[:2], h0.shape[1]
        y, states = (driven.new_empty(rows, steps, width) for _ in range(2))
        kept = torch.empty_like(driven)
        diagonal_programs.lstm_forward[_grid(driven)](
            driven, weights, h0, c0, y, kept, states, steps, width, THREADS=THREADS
        )
        ctx.save_for_backward(weights, h0, c0, y, kept, states)
        return y, states[:, -1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dlast: Tensor) -> tuple[Tensor, ...]:
        weights, h0, c0, y, kept, states = ctx.saved_tensors
        ddriven, dh0, dc0 = torch.empty_like(kept), torch.empty_like(h0), torch.empty_like(c0)
        diagonal_programs.lstm_backward[_grid(kept)](
            dy.contiguous(), dlast.contiguous(), weights, c0, kept, states, ddriven, dh0, dc0,
            *y.shape[1:], THREADS=THREADS,
        )  # fmt: skip
        h, c, (df, dz, do) = _before(h0, y), _before(c0, states), ddriven.chunk(3, -1)
        seen = ((df, h), (dz, h), (do, h), (df, c), (do, states))
        dweights = torch.stack([(slope * state).sum((0, 1)) for slope, state in seen])
        return ddriven, dweights, dh0, dc0
