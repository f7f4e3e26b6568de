"""Sinusoidal positions, the same whether a sequence arrives whole or step by step."""

from __future__ import annotations

import torch
from torch import Tensor


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Sines at even and cosines at odd features, (.., width), in single precision.

    ``positions`` are whole numbers of any shape; feature pair k turns by 10000^(-2k / width) per
    position (Vaswani et al. 2017, arXiv 1706.03762, section 3.5). An odd width ends on a sine.
    """
    pairs = torch.arange(0, width, 2, dtype=torch.float64, device=positions.device)
    rates = 10000.0 ** (-pairs / width)
    # positions far into a stream lose their fraction of a turn in single precision
    angles = positions.unsqueeze(-1).to(torch.float64) * rates
    waves = torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)  # (.., width or + 1)
    return waves[..., :width].to(torch.float32)
