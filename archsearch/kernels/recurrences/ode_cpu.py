"""States that follow a differential equation trained on one core, in one loop forward and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archsearch.kernels.recurrences.ode_loops import backward, forward
from archsearch.kernels.recurrences.ode_states import METHODS
from archsearch.kernels.recurrences.ode_states import ode_states as accelerated_states
from archsearch.kernels.recurrences.recurrence_cpu import WIDEST
from archsearch.kernels.trained import SINGLE, arrays, fit, once_differentiable, trained

MOST = 2**27  # numbers kept of all steps
plain: Any = accelerated_states.plain  # type: ignore[attr-defined]


def ode_states(
    drives: Tensor, h: Tensor, matrix: Tensor, share: Tensor | None, solver: str, substeps: int
) -> Tensor:
    """See :func:`archsearch.kernels.recurrences.ode_states.ode_states`.

    Torch does what is only evaluated, recorded, in another precision, wide, or too much to keep.
    """
    given = drives, h, matrix, share
    inputs = [part for part in given if part is not None]
    evaluations = len(METHODS[solver][0]) * substeps
    kept = evaluations * (2 * drives.numel() + drives.shape[0] * h.numel())
    letters, gates = ("tbg bw wg", 3) if share is None else ("tbg bw wg w", 1)
    unfit = h.shape[1] > WIDEST or kept > MOST or matrix.shape[-1] != gates * len(matrix)
    if unfit or not trained(inputs, SINGLE) or not fit(letters, *inputs):
        return plain(*given, solver, substeps)  # type: ignore[no-any-return]
    method = drives.new_tensor(METHODS[solver]) / substeps
    return _States.apply(*given, method, evaluations)  # type: ignore[no-any-return]


class _States(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        drives: Tensor,
        h: Tensor,
        matrix: Tensor,
        share: Tensor | None,
        method: Tensor,
        evaluations: int,
    ) -> Tensor:
        steps, batch, width = len(drives), *h.shape
        y = drives.new_empty(steps, batch, width)
        args = drives.new_empty(steps, evaluations, batch, width)
        known = drives.new_empty(steps, evaluations, batch, drives.shape[2])
        gates, inner = matrix.split([drives.shape[2] - width, width], 1)
        shared = drives.new_zeros(width) if share is None else share
        forward(*arrays(drives, gates, inner, h, shared, method, y, args, known))
        ctx.save_for_backward(matrix, shared, method, args, known)
        ctx.shared = share is not None
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        matrix, shared, method, args, known = ctx.saved_tensors
        width = args.shape[3]
        both = matrix.shape[1] - width
        slopes, dshare, dh = (
            torch.empty_like(known),
            torch.zeros_like(shared),
            dy.new_zeros(dy.shape[1:]),
        )
        turned = matrix.t().split([both, width])
        backward(*arrays(dy, *turned, shared, method, args, known, slopes, dshare, dh))
        entered = args * known[..., :width] if both else args
        flat = slopes.flatten(0, 2)
        parts = args.flatten(0, 2).t() @ flat[:, :both], entered.flatten(0, 2).t() @ flat[:, both:]
        dmatrix = torch.cat(parts, 1)
        return slopes.sum(1), dh, dmatrix, dshare if ctx.shared else None, None, None
