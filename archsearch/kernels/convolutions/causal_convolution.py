"""A convolution of the positions so far, over all channels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import conv1d

from archsearch.kernels.choose import accelerated


@accelerated(cpu="archsearch.kernels.convolutions.causal_convolution_cpu:causal_convolution")
def causal_convolution(
    x: Tensor, weight: Tensor, bias: Tensor, dilation: int, rectified: bool
) -> Tensor:
    """y_t = bias + sum_j W_j x_{t + j dilation} for as many t as have all taps, or relu of it.

    ``x`` is (B, T + (taps - 1) dilation, I), the past on the left, ``weight`` (O, I, taps), the
    oldest tap first, and ``bias`` (O,). Returns (B, T, O).
    """
    y = conv1d(x.transpose(1, 2), weight, bias, dilation=dilation).transpose(1, 2)
    return torch.relu(y) if rectified else y
