"""A rectified norm trained on one core of a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.norms.rectified_norm import rectified_norm as accelerated_norm
from archsearch.kernels.norms.rectified_norm_loops import backward, forward
from archsearch.kernels.trained import SINGLE, arrays, once_differentiable, trained

plain: Any = accelerated_norm.plain  # type: ignore[attr-defined]


def rectified_norm(x: Tensor, weight: Tensor, slope: Tensor) -> Tensor:
    """See :func:`archsearch.kernels.norms.rectified_norm.rectified_norm`."""
    fits = weight.shape == x.shape[-1:] and slope.shape == (1,)
    if x.shape[-1] % WIDTH or not fits or not trained((x, weight, slope), SINGLE):
        return plain(x, weight, slope)  # type: ignore[no-any-return]
    return _RectifiedNorm.apply(x, weight, slope)  # type: ignore[no-any-return]


class _RectifiedNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, slope: Tensor) -> Tensor:
        y, scales = x.new_empty(x.shape), x.new_empty(x.shape[:-1])
        forward(*arrays(x.flatten(0, -2), weight, slope, scales.flatten(), y.flatten(0, -2)))
        ctx.save_for_backward(x, weight, slope, scales)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, weight, slope, scales = ctx.saved_tensors
        dx, dweight, dslope = x.new_empty(x.shape), torch.zeros_like(weight), slope.new_zeros(WIDTH)
        rows = (part.flatten(0, -2) for part in (dy, x))
        backward(
            *arrays(*rows, weight, slope, scales.flatten(), dx.flatten(0, -2), dweight, dslope)
        )
        return dx, dweight, dslope.sum().view(1)
