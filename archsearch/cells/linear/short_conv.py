"""A short causal convolution of each channel on its own, with a streaming state."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.kernels.convolutions.depthwise import depthwise


class ShortConv(nn.Module):
    """y_t = sum_j w_j x_{t-j} per channel; the state is the last taps - 1 inputs.

    It gives a linear recurrence the sight of its neighbours (Fu et al. 2022, arXiv 2212.14052);
    with no taps it passes everything through. Inputs (B, T, channels).
    """

    def __init__(self, channels: int, taps: int) -> None:
        super().__init__()
        self.channels, self.taps = channels, taps
        if taps:
            bound = taps**-0.5
            self.weight = nn.Parameter(torch.empty(taps, channels).uniform_(-bound, bound))

    def forward(self, x: Tensor, recent: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (B, T, channels) and the new state, both given the state (B, taps - 1, ...)."""
        if not self.taps:
            return x, recent
        length = x.shape[1]
        x = torch.cat([recent, x], 1)
        return depthwise(x, self.weight), x[:, length:]

    def step(self, x: Tensor, recent: Tensor) -> tuple[Tensor, Tensor]:
        """The output (B, channels) of one position."""
        if not self.taps:
            return x, recent
        seen = torch.cat([recent, x[:, None]], 1)
        return (seen * self.weight).sum(1), seen[:, 1:]
