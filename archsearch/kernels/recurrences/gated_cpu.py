"""LSTM variants trained on one core of a CPU, in one loop forward and one back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from archsearch.kernels.recurrences import gated, lstm_loops
from archsearch.kernels.recurrences.gated_slopes import of_matrix, of_peepholes
from archsearch.kernels.recurrences.recurrence_cpu import WIDEST
from archsearch.kernels.trained import SINGLE, arrays, fit, once_differentiable, trained

FORGET = {"own": lstm_loops.OWN, "coupled": lstm_loops.COUPLED, "none": lstm_loops.NONE}
State = gated.State


def lstm(
    drives: Tensor, state: State, matrix: Tensor, peepholes: Tensor, forget: str, squash: bool
) -> tuple[Tensor, State]:
    """See :func:`archsearch.kernels.recurrences.gated.lstm`."""
    count, inputs = 4 if forget == "own" else 3, (drives, *state, matrix, peepholes)
    if untrained(inputs, "hbtg hbs hbs hsg phs", count) or len(peepholes) != 3:
        return gated.lstm.plain(drives, state, matrix, peepholes, forget, squash)  # type: ignore[attr-defined,no-any-return]
    kind = torch.tensor([FORGET[forget], float(peepholes.requires_grad or peepholes.any()), squash])
    y, h, c = _LSTM.apply(drives, *state, matrix, peepholes, kind, forget)
    return y, (h, c)


def untrained(inputs: Sequence[Tensor], letters: str, gates: int) -> bool:
    """Torch does what is only evaluated, recorded, in another precision, or wide."""
    size = inputs[1].shape[-1]
    whole = inputs[0].shape[-1] == gates * size and size <= WIDEST
    return not whole or not trained(inputs, SINGLE) or not fit(letters, *inputs)


class _LSTM(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        drives: Tensor,
        h0: Tensor,
        c0: Tensor,
        matrix: Tensor,
        peepholes: Tensor,
        kind: Tensor,
        forget: str,
    ) -> tuple[Tensor, Tensor, Tensor]:
        heads, batch, steps, size = *drives.shape[:3], h0.shape[-1]
        y = drives.new_empty(heads, batch, steps, size)
        kept = drives.new_empty(heads, batch, steps, 6 * size)
        h, c = h0.clone(memory_format=torch.contiguous_format), c0.contiguous().clone()
        for head in range(heads):
            lstm_loops.forward(
                *arrays(drives[head], matrix[head], peepholes[:, head], kind),
                *arrays(h[head], c[head], y[head], kept[head]),
            )
        ctx.save_for_backward(h0, c0, matrix, peepholes, kind, y, kept)
        ctx.forget = forget
        return y, h, c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dh: Tensor, dc: Tensor) -> tuple[Tensor | None, ...]:
        h0, c0, matrix, peepholes, kind, y, kept = ctx.saved_tensors
        size = h0.shape[-1]
        ddrives = y.new_empty(*y.shape[:3], matrix.shape[-1])
        dh, dc = (part.clone(memory_format=torch.contiguous_format) for part in (dh, dc))
        recurrent = matrix.transpose(1, 2)
        for head in range(len(y)):
            lstm_loops.backward(
                *arrays(dy[head], c0[head], recurrent[head], peepholes[:, head], kind),
                *arrays(kept[head], ddrives[head], dh[head], dc[head]),
            )
        dpeepholes = None
        if ctx.needs_input_grad[4]:
            memory = kept[..., 4 * size : 5 * size]
            dpeepholes = of_peepholes(c0, memory, ddrives, ctx.forget)
        return ddrives, dh, dc, of_matrix(h0, y, ddrives), dpeepholes, None, None
