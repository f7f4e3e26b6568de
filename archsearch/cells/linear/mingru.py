"""Minimal gated recurrent unit."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from archsearch.cells.cell import Cell, State
from archsearch.cells.linear.gates import full, spread
from archsearch.cells.linear.short_conv import ShortConv
from archsearch.kernels.scans.linear_scan import linear_scan


def positive(x: Tensor) -> Tensor:
    """x + 1/2 above zero, s(x) below: never negative and without a kink (appendix B.3)."""
    return relu(x) + torch.sigmoid(-relu(-x))


def identity(x: Tensor) -> Tensor:
    return x


CANDIDATES = {"positive": positive, "identity": identity, "tanh": torch.tanh}


class MinGRU(Cell):
    """h_t = a_t h_{t-1} + (1 - p_t) g(W_h x_t + b_h), y_t = W_o h_t, p_t = s(W_p x_t + b_p).

    A GRU whose gate and candidate do not see the state (Feng et al. 2024, arXiv 2410.01201,
    section 3.1): a_t = p_t, or 2 p_t - 1 where ``negative``. b_p starts at ``keep_bias``. ``conv``
    puts a short causal convolution before everything; ``expand`` is the state's width over the
    cell's. State: h (B, expand W) and the convolution's (B, conv - 1, W).
    """

    def __init__(
        self,
        width: int,
        expand: float = 1.0,
        candidate: str = "positive",
        keep_bias: float = 1.0,
        conv: int = 0,
        negative: bool = False,
        conv_start: str = "uniform",
    ) -> None:
        super().__init__(width)
        self.size, self.negative = int(width * expand), negative
        self.candidate = CANDIDATES[candidate]
        self.conv = ShortConv(width, conv, conv_start)
        self.project = nn.Linear(width, 2 * self.size)  # the gate, then the candidate
        self.output = nn.Linear(self.size, width, bias=False)
        nn.init.zeros_(self.project.bias)
        nn.init.constant_(self.project.bias[: self.size], keep_bias)

    def _coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        gate, candidate = self.project(x).chunk(2, -1)
        kept = torch.sigmoid(full(gate))
        # s(-x) does not lose what 1 - s(x) loses for a gate that is nearly shut
        return spread(kept, self.negative), torch.sigmoid(-full(gate)) * self.candidate(candidate)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        h, recent = self.initial_state(len(x)) if state is None else state
        x, recent = self.conv(x, recent)
        states = linear_scan(*self._coefficients(x), h)  # (B, T, size)
        return self.output(states.to(x.dtype)), (states[:, -1], recent)

    def initial_state(self, batch: int) -> State:
        recent = self.zeros(batch, max(self.conv.taps - 1, 0), self.width)
        return self.zeros(batch, self.size), recent

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, recent = state
        x, recent = self.conv.step(x, recent)
        factor, added = self._coefficients(x)
        h = factor * h + added
        return self.output(h.to(x.dtype)), (h, recent)
