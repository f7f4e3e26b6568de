"""TrellisNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.kernels.convolutions.trellis_levels import trellis_levels


class Trellis(Cell):
    """A deep convolution whose levels share their weights and all see the input again.

    At level i, with d its dilation: [i, f, g, o] = W_1 * x + W_2 * h^i + b with taps t - d and t,
    c^{i+1}_t = s(f) c^i_{t-d} + s(i) tanh(g), h^{i+1} = s(o) tanh(c^{i+1}); h^0 = c^0 = 0
    and y = h^levels (Bai, Kolter & Koltun 2019, arXiv 1810.06682, section 4). Dilations go
    through 1, 2, ..., 2^(cycle - 1) again and again. With W_1 on tap t and W_2 on tap t - d
    alone it is an LSTM that forgets all but its last ``levels`` inputs (their theorem 1).
    State: x, and h and c of each level but the first and last, for the d inputs before.
    """

    state_matrices = frozenset({"hidden"})

    def __init__(self, width: int, levels: int = 8, cycle: int = 1) -> None:
        super().__init__(width)
        self.dilations = [2 ** (level % cycle) for level in range(levels)]
        self.reach = 1 + sum(self.dilations)
        # taps t - dilation and t
        self.inject = nn.Parameter(torch.empty(2, width, 4 * width).normal_(std=0.01))
        self.hidden = nn.Parameter(torch.empty(2, width, 4 * width).normal_(std=0.01))
        self.bias = nn.Parameter(torch.zeros(4 * width))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        past, *levels = self.initial_state(len(x)) if state is None else state
        weights = self.inject, self.hidden, self.bias
        y, kept = trellis_levels(x, past, levels, *weights, self.dilations)
        return y, (torch.cat([past, x], 1)[:, x.shape[1] :], *kept)

    def initial_state(self, batch: int) -> State:
        def zeros(steps: int) -> Tensor:
            return self.zeros(batch, steps, self.width)

        levels = ((zeros(dilation), zeros(dilation)) for dilation in self.dilations[1:])
        return zeros(max(self.dilations)), *levels

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.forward(x[:, None], state)
        return y[:, 0], state
