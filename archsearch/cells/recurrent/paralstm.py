"""A long short-term memory whose recurrence is diagonal."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.cells.recurrent.heads import HeadwiseLinear
from archsearch.kernels.recurrences.diagonal import advance_lstm, diagonal_lstm


class ParaLSTM(Cell):
    """f = s(a_f h_{t-1} + p_f c_{t-1} + B_f x_t + b_f); z = tanh(a_z h_{t-1} + B_z x_t + b_z);
    c_t = f c_{t-1} + (1 - f) z; o = s(a_o h_{t-1} + p_o c_t + B_o x_t + b_o);
    y_t = h_t = o tanh(c_t) (Danieli et al. 2025, arXiv 2510.21450).

    All a and p are vectors: units hear themselves only, and mix through B, which has one block
    per head. ``clip`` bounds every |a| and |p|; 0 leaves them free. They start at N(0, 4 / (5 W)),
    b at zero. State: h and c, each (B, W).
    """

    no_decay = frozenset({"a", "p"})

    def __init__(self, width: int, heads: int = 1, clip: float = 0.0) -> None:
        super().__init__(width)
        self.clip = clip
        self.input = HeadwiseLinear(width, 3, heads)
        for gate in range(3):
            for block in self.input.blocks(gate):
                nn.init.xavier_uniform_(block)
        self.bias = nn.Parameter(torch.zeros(3 * width))
        self.a = nn.Parameter(torch.empty(3, width).normal_(std=(0.8 / width) ** 0.5))
        self.p = nn.Parameter(torch.empty(2, width).normal_(std=(0.8 / width) ** 0.5))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        h, c = self.initial_state(len(x)) if state is None else state
        y, c = diagonal_lstm(self.input(x), self.bias, self._weights(), h, c)
        return y, (y[:, -1], c)

    def initial_state(self, batch: int) -> State:
        return self.zeros(batch, self.width), self.zeros(batch, self.width)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = advance_lstm(self.input(x) + self.bias, self._weights().unbind(0), *state)
        return h, (h, c)

    def _weights(self) -> Tensor:
        """a_f, a_z, a_o, p_f and p_o, within their bound."""
        weights = torch.cat([self.a, self.p])
        return weights.clamp(-self.clip, self.clip) if self.clip else weights
