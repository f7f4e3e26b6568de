"""A convolution over all channels trained on one core of a CPU, without turning its inputs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archsearch.kernels.convolutions.causal_convolution import (
    causal_convolution as accelerated_convolution,
)
from archsearch.kernels.convolutions.causal_convolution_loops import convolve, correlate
from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.trained import SINGLE, arrays, fit, once_differentiable, trained

plain: Any = accelerated_convolution.plain  # type: ignore[attr-defined]
# numbers of a filter that stay in the nearer caches
LARGEST = 1 << 17


def causal_convolution(
    x: Tensor, weight: Tensor, bias: Tensor, dilation: int, rectified: bool
) -> Tensor:
    """See :func:`archsearch.kernels.convolutions.causal_convolution.causal_convolution`.

    Torch does what is short, of many numbers, or of channels that fill no whole vectors.
    """
    given = x, weight, bias
    if not trained(given, SINGLE) or not fit("bti oip o", *given):
        return plain(*given, dilation, rectified)  # type: ignore[no-any-return]
    outputs, inputs, taps = weight.shape
    steps = x.shape[1] - (taps - 1) * dilation
    whole = inputs % WIDTH == 0 and outputs % WIDTH == 0 and steps >= WIDTH
    if not whole or weight.numel() > LARGEST:
        return plain(*given, dilation, rectified)  # type: ignore[no-any-return]
    return _Convolution.apply(x, weight, bias, dilation, rectified)  # type: ignore[no-any-return]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, dilation: int, rectified: bool
    ) -> Tensor:
        x = x.contiguous()
        reach = (weight.shape[2] - 1) * dilation
        y = x.new_empty(len(x), x.shape[1] - reach, len(weight))
        # what is below is raised to it
        least = x.new_tensor([0.0 if rectified else -torch.inf])
        convolve(*arrays(x, _stripes(weight.permute(2, 1, 0)), bias, least, y))
        ctx.save_for_backward(x, weight, *((y,) if rectified else ()))
        ctx.reach = reach
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *rectified = ctx.saved_tensors
        dx, dtaps = torch.empty_like(x), weight.new_zeros(weight.permute(2, 1, 0).shape)
        # what an input has changed lies behind it
        slopes = dy.new_zeros(len(dy), dy.shape[1] + 2 * ctx.reach, dy.shape[2])
        inner = slopes[:, ctx.reach : ctx.reach + dy.shape[1]]
        if rectified:
            torch.ops.aten.threshold_backward(dy, *rectified, 0, grad_input=inner)
        else:
            inner.copy_(dy)
        turned = _stripes(weight.permute(2, 0, 1).flip(0))
        none, least = weight.new_zeros(weight.shape[1]), weight.new_tensor([-torch.inf])
        convolve(*arrays(slopes, turned, none, least, dx))
        correlate(*arrays(x, slopes, dtaps))
        return dx, dtaps.permute(2, 1, 0), slopes.sum((0, 1)), None, None


def _stripes(taps: Tensor) -> Tensor:
    """(taps, I, O) as (O / WIDTH, taps, I, WIDTH)."""
    return taps.unflatten(2, (-1, WIDTH)).permute(2, 0, 1, 3)
