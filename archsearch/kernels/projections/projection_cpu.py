"""A linear map trained on one core of a CPU, its products of matrices by oneDNN.

torch multiplies single precision by MKL, which on processors of other makers than its own does not
use all they can; its recurrent layers use oneDNN, which does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archsearch.kernels.projections.projection import projection as accelerated_projection
from archsearch.kernels.trained import SINGLE, once_differentiable, trained

plain: Any = accelerated_projection.plain  # type: ignore[attr-defined]
# of fewer outputs neither library is quick
FEWEST = 16
# multiplications below which the way to the other library takes longer than it saves
LEAST = 1 << 24
AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def projection(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """See :func:`archsearch.kernels.projections.projection.projection`."""
    inputs = (x, weight) if bias is None else (x, weight, bias)
    small = min(weight.shape) < FEWEST or x.numel() * len(weight) < LEAST
    fits = bias is None or bias.shape == weight.shape[:1]
    if not AVAILABLE or small or not fits or not trained(inputs, SINGLE):
        return plain(x, weight, bias)  # type: ignore[no-any-return]
    return _Projection.apply(x, weight, bias)  # type: ignore[no-any-return]


class _Projection(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return product(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None]:
        x, weight = ctx.saved_tensors
        dy, rows = dy.reshape(-1, len(weight)), x.reshape(-1, x.shape[-1])
        dx = product(dy, weight.t(), None).view(x.shape) if ctx.needs_input_grad[0] else None
        # where both are read turned, MKL is the quicker
        return dx, dy.t() @ rows, dy.sum(0) if ctx.needs_input_grad[2] else None


def product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # type: ignore[no-any-return]
