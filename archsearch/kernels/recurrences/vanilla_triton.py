"""The vanilla recurrence over a whole sequence on a GPU, in one launch forward and one back.

In single precision; torch does what is in double, and heads too large for one program.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
import triton
from torch import Tensor

from archsearch.kernels.recurrences import vanilla as form
from archsearch.kernels.recurrences.gated_slopes import of_matrix
from archsearch.kernels.recurrences.gated_triton import LARGEST, ROWS
from archsearch.kernels.recurrences.vanilla_programs import backward_program, forward_program
from archsearch.kernels.trained import fit, once_differentiable


def vanilla(
    drives: Tensor, h: Tensor, matrix: Tensor, leak: Tensor | None, activation: str
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.recurrences.vanilla.vanilla`."""
    inputs = (drives, h, matrix) if leak is None else (drives, h, matrix, leak)
    kind = reduce(torch.promote_types, (part.dtype for part in inputs))
    sizes = "tbs bs ss S" if h.ndim == 2 else "thbs hbs hss S"
    fits = drives.numel() > 0 and fit(" ".join(sizes.split()[: len(inputs)]), *inputs)
    if not fits or kind == torch.float64 or h.shape[-1] > LARGEST:
        return form.vanilla.plain(drives, h, matrix, leak, activation)  # type: ignore[attr-defined,no-any-return]
    parts = drives, h, matrix
    if h.ndim == 2:
        parts = drives[:, None], h[None], matrix[None]
    shares = None if leak is None else leak.float().expand(len(parts[1]), h.shape[-1])
    along = parts[0].movedim(0, 2)
    y = _Vanilla.apply(*(part.float() for part in (along, *parts[1:])), shares, activation)
    y = (y[0] if h.ndim == 2 else y).to(kind)
    return y, y[..., -1, :].clone()


class _Vanilla(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        drives: Tensor,
        h0: Tensor,
        matrix: Tensor,
        leak: Tensor | None,
        activation: str,
    ) -> Tensor:
        drives, h0, matrix = (part.contiguous() for part in (drives, h0, matrix))
        leak = leak if leak is None else leak.contiguous()
        y = torch.empty_like(drives)
        kept = y if leak is None else torch.empty_like(drives)
        grid, settings = _grid(h0, leak, activation)
        forward_program[grid](drives, matrix, leak, h0, y, kept, *drives.shape[1:], **settings)
        ctx.save_for_backward(h0, matrix, leak, y, kept)
        ctx.activation = activation
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        h0, matrix, leak, y, kept = ctx.saved_tensors
        ddrives, dh0, dleak = torch.empty_like(y), torch.empty_like(h0), None
        grid, settings = _grid(h0, leak, ctx.activation)
        if leak is not None:
            dleak = leak.new_empty(grid[0], *leak.shape)
        backward_program[grid](
            dy.contiguous(), matrix, leak, h0, y, kept, ddrives, dh0, dleak, *y.shape, **settings
        )
        dmatrix = of_matrix(h0, y, ddrives)
        return ddrives, dh0, dmatrix, None if dleak is None else dleak.sum(0), None


def _grid(
    h0: Tensor, leak: Tensor | None, activation: str
) -> tuple[tuple[int, int], dict[str, Any]]:
    """The programs for states (H, B, S), and what each has."""
    size = max(16, triton.next_power_of_2(h0.shape[-1]))
    settings = {"ACTIVATION": activation, "LEAKS": leak is not None, "ROWS": ROWS, "SIZE": size}
    return (triton.cdiv(h0.shape[1], ROWS), len(h0)), settings
