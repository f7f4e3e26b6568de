"""A causal convolution of every channel on its own, for a handful of taps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archsearch.kernels.choose import accelerated


@accelerated(cpu="archsearch.kernels.convolutions.depthwise_cpu:depthwise")
def depthwise(x: Tensor, weight: Tensor, dilation: int = 1) -> Tensor:
    """y_t = sum_j weight_j x_{t + j dilation}, per channel.

    ``x`` is (B, T + (taps - 1) dilation, C), the past on the left, and ``weight`` (taps, C), the
    oldest tap first. Returns (B, T, C). One pass per tap and no intermediate results: for four
    taps two to four times as fast on a CPU as a grouped convolution.
    """
    return _Depthwise.apply(x, weight, dilation)  # type: ignore[no-any-return]


class _Depthwise(torch.autograd.Function):
    # torch.func needs both
    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, int], _output: Tensor) -> None:
        x, weight, ctx.dilation = inputs
        ctx.save_for_backward(x, weight)

    @staticmethod
    def forward(x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        length = x.shape[1] - (len(weight) - 1) * dilation
        y = x[:, :length] * weight[0]
        for tap in range(1, len(weight)):
            begin = tap * dilation
            y.addcmul_(x[:, begin : begin + length], weight[tap])
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        length = dy.shape[1]
        dx = torch.zeros_like(x)
        rows = []
        for tap in range(len(weight)):
            begin = tap * ctx.dilation
            dx[:, begin : begin + length].addcmul_(dy, weight[tap])
            rows.append((dy * x[:, begin : begin + length]).sum((0, 1)))
        return dx, torch.stack(rows), None
