"""Minimal long short-term memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from archsearch.cells.cell import Cell, State
from archsearch.cells.linear.gates import full, spread
from archsearch.cells.linear.mingru import CANDIDATES
from archsearch.cells.linear.short_conv import ShortConv
from archsearch.kernels.scans.linear_scan import linear_scan


class MinLSTM(Cell):
    """h_t = a_t h_{t-1} + i'_t g(W_h x_t + b_h), y_t = W_o h_t.

    f = s(W_f x_t + b_f) and i = s(W_i x_t + b_i) are scaled to a sum of one, f' = f / (f + i) and
    i' = i / (f + i), so that the state's scale does not depend on time (Feng et al. 2024, arXiv
    2410.01201, section 3.2). a_t = f', or 2 f' - 1 where ``negative``. b_f starts at
    ``forget_bias``. ``conv`` puts a short causal convolution before everything. State:
    h (B, expand W) and the convolution's (B, conv - 1, W).
    """

    def __init__(
        self,
        width: int,
        expand: float = 1.0,
        candidate: str = "positive",
        forget_bias: float = 1.0,
        conv: int = 0,
        negative: bool = False,
        conv_start: str = "uniform",
    ) -> None:
        super().__init__(width)
        self.size, self.negative = int(width * expand), negative
        self.candidate = CANDIDATES[candidate]
        self.conv = ShortConv(width, conv, conv_start)
        self.project = nn.Linear(width, 3 * self.size)  # forget, input, candidate
        self.output = nn.Linear(self.size, width, bias=False)
        nn.init.zeros_(self.project.bias)
        nn.init.constant_(self.project.bias[: self.size], forget_bias)

    def _coefficients(self, x: Tensor) -> tuple[Tensor, Tensor]:
        forget, write, candidate = self.project(x).chunk(3, -1)
        # f / (f + i) = s(log f - log i), which never divides by zero
        odds = logsigmoid(full(forget)) - logsigmoid(full(write))
        kept = torch.sigmoid(odds)
        return spread(kept, self.negative), torch.sigmoid(-odds) * self.candidate(candidate)

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
