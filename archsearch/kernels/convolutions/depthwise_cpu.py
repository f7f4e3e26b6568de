"""A causal convolution of every channel on its own, trained on one core of a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archsearch.kernels.convolutions.depthwise import depthwise as accelerated_convolution
from archsearch.kernels.convolutions.depthwise_loops import backward, forward
from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.trained import arrays, fit, once_differentiable, trained

NATIVE = (torch.float32, torch.float64)
plain: Any = accelerated_convolution.plain  # type: ignore[attr-defined]


def depthwise(x: Tensor, weight: Tensor, dilation: int = 1) -> Tensor:
    """See :func:`archsearch.kernels.convolutions.depthwise.depthwise`."""
    given = x, weight
    if x.shape[-1] % WIDTH or not trained(given, NATIVE) or not fit("btc pc", *given):
        return plain(x, weight, dilation)  # type: ignore[no-any-return]
    if x.shape[1] <= (len(weight) - 1) * dilation:
        return plain(x, weight, dilation)  # type: ignore[no-any-return]
    return _Convolution.apply(x, weight, dilation)  # type: ignore[no-any-return]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        x, weight = x.contiguous(), weight.contiguous()
        spacing = x.new_tensor([dilation])
        y = x.new_empty(len(x), x.shape[1] - (len(weight) - 1) * dilation, x.shape[2])
        forward(*arrays(x, weight, spacing, y))
        ctx.save_for_backward(x, weight, spacing)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight, spacing = ctx.saved_tensors
        dx, dweight = torch.empty_like(x), torch.zeros_like(weight)
        backward(*arrays(dy.contiguous(), x, weight, spacing, dx, dweight))
        return dx, dweight, None
