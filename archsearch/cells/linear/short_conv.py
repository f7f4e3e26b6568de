"""A short causal convolution of each channel on its own, with a streaming state."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from archsearch.kernels.convolutions.short_convolution import short_convolution


class ShortConv(nn.Module):
    """y_t = sum_j w_j x_{t-j} per channel; the state is the last taps - 1 inputs.

    It gives a linear recurrence the sight of its neighbours (Fu et al. 2022, arXiv 2212.14052);
    with no taps it passes everything through. Inputs (B, T, channels). ``start`` "uniform" draws
    all weights alike, "identity" lets each position through and sees no other at first: what
    mixes neighbours from the start hides a group's single elements from the state. Where
    ``activated``, silu follows, with taps or without.
    """

    def __init__(
        self, channels: int, taps: int, start: str = "uniform", activated: bool = False
    ) -> None:
        super().__init__()
        self.channels, self.taps, self.activated = channels, taps, activated
        if not taps:
            return
        if start == "identity":
            own = torch.arange(taps) == taps - 1
            self.weight = nn.Parameter(
                own.to(torch.get_default_dtype())[:, None].repeat(1, channels)
            )
        else:
            bound = taps**-0.5
            self.weight = nn.Parameter(torch.empty(taps, channels).uniform_(-bound, bound))

    def forward(self, x: Tensor, recent: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs (B, T, channels) and the new state, both given the state (B, taps - 1, ...)."""
        if not self.taps:
            return self._activate(x), recent
        y = short_convolution(x, recent, self.weight, self.activated)
        last = x[:, 1 - self.taps :] if self.taps > 1 else x[:, :0]
        return y, torch.cat([recent, last], 1)[:, last.shape[1] :]

    def step(self, x: Tensor, recent: Tensor) -> tuple[Tensor, Tensor]:
        """The output (B, channels) of one position."""
        if not self.taps:
            return self._activate(x), recent
        seen = torch.cat([recent, x[:, None]], 1)
        return self._activate((seen * self.weight).sum(1)), seen[:, 1:]

    def _activate(self, x: Tensor) -> Tensor:
        return silu(x) if self.activated else x
