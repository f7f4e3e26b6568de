"""A short causal convolution of each channel with its past, and silu, in one pass."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import silu

from archsearch.kernels.choose import accelerated
from archsearch.kernels.convolutions.depthwise import depthwise


@accelerated(cpu="archsearch.kernels.convolutions.short_convolution_cpu:short_convolution")
def short_convolution(x: Tensor, recent: Tensor, weight: Tensor, activated: bool) -> Tensor:
    """y_t = sum_j weight_j s_{t + j}, of which silu where ``activated``; s is recent, then x.

    ``x`` is (B, T, C), ``recent`` (B, taps - 1, C) and ``weight`` (taps, C), the oldest tap first.
    Returns (B, T, C).
    """
    y = depthwise(torch.cat([recent, x], 1), weight)
    return silu(y) if activated else y
