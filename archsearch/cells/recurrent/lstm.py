"""Long short-term memory."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State


class LSTM(Cell):
    """[i, f, g, o] = W x_t + U h_{t-1} + b; c_t = s(f) c_{t-1} + s(i) tanh(g); y_t = h_t =
    s(o) tanh(c_t), with s the logistic function (Hochreiter & Schmidhuber 1997; Gers 2000).

    U starts orthogonal per gate, b at zero but for the forget gate. State: h and c, each (B, W).
    """

    def __init__(self, width: int, forget_bias: float = 1.0) -> None:
        super().__init__(width)
        self.input = nn.Linear(width, 4 * width)
        self.recurrent = nn.Linear(width, 4 * width, bias=False)
        for gate in range(4):
            rows = slice(gate * width, (gate + 1) * width)
            nn.init.xavier_uniform_(self.input.weight[rows])
            nn.init.orthogonal_(self.recurrent.weight[rows])
        nn.init.zeros_(self.input.bias)
        nn.init.constant_(self.input.bias[width : 2 * width], forget_bias)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        h, c = self.initial_state(len(x)) if state is None else state
        bias = self.input.bias
        weights = [self.input.weight, self.recurrent.weight, bias, torch.zeros_like(bias)]
        # torch's own recurrence: layers, dropout, training, bidirectional, batch first
        y, h, c = torch.lstm(x, (h[None], c[None]), weights, True, 1, 0.0, True, False, True)
        return y, (h[0], c[0])

    def initial_state(self, batch: int) -> State:
        return self.zeros(batch, self.width), self.zeros(batch, self.width)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, c = state
        i, f, g, o = (self.input(x) + self.recurrent(h)).chunk(4, -1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return h, (h, c)
