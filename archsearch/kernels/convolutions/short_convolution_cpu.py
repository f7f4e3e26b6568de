"""A short convolution and its silu, trained on one core of a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from archsearch.kernels.convolutions.short_convolution import (
    short_convolution as accelerated_convolution,
)
from archsearch.kernels.convolutions.short_convolution_loops import backward, forward
from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.trained import SINGLE, arrays, fit, flat, once_differentiable, trained

plain: Any = accelerated_convolution.plain  # type: ignore[attr-defined]


def short_convolution(x: Tensor, recent: Tensor, weight: Tensor, activated: bool) -> Tensor:
    """See :func:`archsearch.kernels.convolutions.short_convolution.short_convolution`."""
    inputs = (x, recent, weight)
    whole = x.shape[-1] % WIDTH == 0 and len(weight) == recent.shape[1] + 1
    if not whole or not trained(inputs, SINGLE) or not fit("btc bpc qc", *inputs):
        return plain(x, recent, weight, activated)  # type: ignore[no-any-return]
    return _Convolution.apply(x, recent, weight, activated)  # type: ignore[no-any-return]


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, recent: Tensor, weight: Tensor, activated: bool) -> Tensor:
        # the part of a projection is read where it lies
        x = x if x.stride(-1) == 1 and min(x.stride()) > 0 else x.contiguous()
        recent, weight = recent.contiguous(), weight.contiguous()
        y = x.new_empty(x.shape)
        ctx.save_for_backward(x, recent, weight)
        ctx.activated = activated
        forward(flat(x), *arrays(recent, weight, y), places(x, activated))
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        x, recent, weight = ctx.saved_tensors
        dx, drecent = x.new_empty(x.shape), torch.empty_like(recent)
        dweight = torch.zeros_like(weight)
        found = arrays(recent, weight, dx, drecent, dweight)
        backward(*arrays(dy.contiguous()), flat(x), *found, places(x, ctx.activated))
        return dx, drecent, dweight, None


def places(x: Tensor, activated: bool) -> Any:
    return np.array([*x.shape, x.stride(0), x.stride(1), activated])
