"""LSTM variants and the sLSTM over whole sequences on a GPU, in one launch forward and one back.

In single precision; torch does what is in double, and heads too large for one program.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
import triton
from torch import Tensor

from archsearch.kernels.recurrences import gated, lstm_programs, slstm_programs
from archsearch.kernels.recurrences.gated import State
from archsearch.kernels.recurrences.gated_slopes import of_matrix, of_peepholes
from archsearch.kernels.trained import fit, once_differentiable

ROWS = 16  # of a batch, for one program; the fewest that a GPU multiplies
LARGEST = 64  # units of a head, whose products are written out


def lstm(
    drives: Tensor, state: State, matrix: Tensor, peepholes: Tensor, forget: str, squash: bool
) -> tuple[Tensor, State]:
    """See :func:`archsearch.kernels.recurrences.gated.lstm`."""
    inputs = (drives, *state, matrix, peepholes)
    kind = _kind(inputs, "hbtg hbs hbs hsg phs", 4 if forget == "own" else 3)
    if kind is None or len(peepholes) != 3:
        return gated.lstm.plain(drives, state, matrix, peepholes, forget, squash)  # type: ignore[attr-defined,no-any-return]
    y, h, c = _LSTM.apply(*(part.float() for part in inputs), forget, squash)
    return y.to(kind), (h.to(kind), c.to(kind))


def slstm(drives: Tensor, state: State, matrix: Tensor, sigmoid: bool) -> tuple[Tensor, State]:
    """See :func:`archsearch.kernels.recurrences.gated.slstm`."""
    inputs = (drives, *state, matrix)
    kind = _kind(inputs, "hbtg hbs hbs hbs hbs hsg", 4)
    if kind is None:
        return gated.slstm.plain(drives, state, matrix, sigmoid)  # type: ignore[attr-defined,no-any-return]
    y, *last = _SLSTM.apply(*(part.float() for part in inputs), sigmoid)
    return y.to(kind), tuple(part.to(kind) for part in last)


def _kind(inputs: tuple[Tensor, ...], letters: str, gates: int) -> torch.dtype | None:
    """The type of number of the outputs, or None where torch is to do it."""
    kind = reduce(torch.promote_types, (part.dtype for part in inputs))
    size, whole = inputs[1].shape[-1], inputs[0].numel() > 0
    whole = whole and inputs[0].shape[-1] == gates * size and fit(letters, *inputs)
    return None if size > LARGEST or kind == torch.float64 or not whole else kind


def _grid(h0: Tensor) -> tuple[tuple[int, int], dict[str, int]]:
    """The programs for states (H, B, S), and what each has."""
    size = max(16, triton.next_power_of_2(h0.shape[-1]))
    return (triton.cdiv(h0.shape[1], ROWS), len(h0)), {"ROWS": ROWS, "SIZE": size}


class _LSTM(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        drives: Tensor,
        h0: Tensor,
        c0: Tensor,
        matrix: Tensor,
        peepholes: Tensor,
        forget: str,
        squash: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        given = (drives, matrix, peepholes, h0, c0)
        drives, matrix, peepholes, h0, c0 = (part.contiguous() for part in given)
        heads, batch, steps, size = *drives.shape[:3], h0.shape[-1]
        y, kept = (drives.new_empty(heads, batch, steps, n * size) for n in (1, 5))
        h, c = torch.empty_like(h0), torch.empty_like(c0)
        kind = {"FORGET": forget, "SQUASH": squash, "GATES": drives.shape[-1] // size}
        grid, sizes = _grid(h0)
        lstm_programs.forward_program[grid](
            drives, matrix, peepholes, h0, c0, y, kept, h, c, heads, batch, steps, size,
            **kind, **sizes,
        )  # fmt: skip
        ctx.save_for_backward(h0, c0, matrix, peepholes, y, kept)
        ctx.kind = kind
        return y, h, c

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dh: Tensor, dc: Tensor) -> tuple[Tensor | None, ...]:
        h0, c0, matrix, peepholes, y, kept = ctx.saved_tensors
        ddrives = y.new_empty(*y.shape[:3], matrix.shape[-1])
        dh0, dc0 = torch.empty_like(h0), torch.empty_like(c0)
        grid, sizes = _grid(h0)
        lstm_programs.backward_program[grid](
            dy.contiguous(), matrix, peepholes, c0, kept, dh.contiguous(), dc.contiguous(),
            ddrives, dh0, dc0, *y.shape, **ctx.kind, **sizes,
        )  # fmt: skip
        memory, dpeepholes = kept[..., 4 * h0.shape[-1] :], None
        if ctx.needs_input_grad[4]:
            dpeepholes = of_peepholes(c0, memory, ddrives, ctx.kind["FORGET"])
        return ddrives, dh0, dc0, of_matrix(h0, y, ddrives), dpeepholes, None, None


class _SLSTM(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        drives: Tensor,
        h0: Tensor,
        c0: Tensor,
        n0: Tensor,
        m0: Tensor,
        matrix: Tensor,
        sigmoid: bool,
    ) -> tuple[Tensor, ...]:
        given = (drives, matrix, h0, c0, n0, m0)
        drives, matrix, *first = (part.contiguous() for part in given)
        heads, batch, steps, size = *drives.shape[:3], h0.shape[-1]
        y, kept = (drives.new_empty(heads, batch, steps, n * size) for n in (1, 7))
        last = [torch.empty_like(part) for part in first]
        grid, sizes = _grid(h0)
        slstm_programs.forward_program[grid](
            drives, matrix, *first, y, kept, *last, batch, steps, size, SIGMOID=sigmoid, **sizes
        )
        ctx.save_for_backward(*first[:3], matrix, y, kept)
        ctx.mark_non_differentiable(last[3])
        return y, *last

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, *dlast: Tensor) -> tuple[Tensor | None, ...]:
        h0, c0, n0, matrix, y, kept = ctx.saved_tensors
        ddrives = y.new_empty(*y.shape[:3], matrix.shape[-1])
        dh0, dc0, dn0 = (torch.empty_like(part) for part in (h0, c0, n0))
        grid, sizes = _grid(h0)
        slstm_programs.backward_program[grid](
            dy.contiguous(), matrix, c0, n0, kept, *(part.contiguous() for part in dlast[:3]),
            ddrives, dh0, dc0, dn0, *y.shape[1:], **sizes,
        )  # fmt: skip
        # exp(m) is a factor of both c and n
        dm0 = dc0 * c0 + dn0 * n0
        return ddrives, dh0, dc0, dn0, dm0, of_matrix(h0, y, ddrives), None
