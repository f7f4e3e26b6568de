"""A learnable filter in the frequency domain."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.cells.linear.gates import full
from archsearch.errors import ArchitectureError
from archsearch.kernels.convolutions.fft_convolution import fft_convolution

SHORTEST = 8  # reach of a band that keeps a frequency with both parts


def frequencies(count: int, band: str) -> Tensor:
    """Which of ``count`` frequencies, the slowest first, a band has."""
    at = torch.arange(count)
    match band:
        case "low":
            return at[2 * at < count]
        case "high":
            return at[2 * at >= count]
        case "stop":
            return at[(4 * at < count) | (4 * at >= 3 * count)]
        case _:
            return at


class FMLP(Cell):
    """y = x * w per channel, w = irfft(F): a filter of ``reach`` taps, learned as its spectrum F.

    The layer of Zhou et al. 2022, arXiv 2202.13556, section 4.2, filters the whole sequence
    around a circle, which sees the future and one length only; here the same spectrum gives a
    causal filter, and any length. F starts at N(0, scale) in both parts, scaled so that the gain
    at each frequency does not depend on ``reach``; rfft(w) = F. A ``band`` has F only at the lower
    half of its reach / 2 + 1 frequencies (low), at the upper half (high) or without the middle half
    (stop), and zero elsewhere: after its first reach - 1 outputs a wave of a frequency that is
    left out is silent. State: the last reach - 1 inputs, (B, reach - 1, W).
    """

    kept: Tensor | None

    def __init__(self, width: int, reach: int = 64, scale: float = 0.02, band: str = "all") -> None:
        super().__init__(width)
        if band != "all" and reach < SHORTEST:
            raise ArchitectureError(
                f"reach {reach} has too few frequencies for band {band!r}; take at least {SHORTEST}"
            )
        self.reach = reach
        places = frequencies(reach // 2 + 1, band)
        self.real = nn.Parameter(torch.empty(len(places), width).normal_(std=scale))
        self.imaginary = nn.Parameter(torch.empty(len(places), width).normal_(std=scale))
        self.register_buffer("kept", None if band == "all" else places, persistent=False)

    @property
    def kernel(self) -> Tensor:
        """The filter (reach, W), newest tap first."""
        spectrum = torch.complex(full(self.real), full(self.imaginary))
        if self.kept is not None:
            whole = spectrum.new_zeros(self.reach // 2 + 1, self.width)
            spectrum = whole.index_copy(0, self.kept, spectrum)
        return torch.fft.irfft(spectrum, self.reach, 0).to(self.real.dtype)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (past,) = self.initial_state(len(x)) if state is None else state
        seen = torch.cat([past, x], 1)
        return fft_convolution(seen, self.kernel), (seen[:, x.shape[1] :],)

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, self.reach - 1, self.width),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        seen = torch.cat([state[0], x[:, None]], 1)
        return (seen * self.kernel.flip(0)).sum(1), (seen[:, 1:],)
