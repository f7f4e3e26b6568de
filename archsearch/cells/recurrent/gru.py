"""Gated recurrent unit."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State


class GRU(Cell):
    """r, z = s(W x_t + U h_{t-1} + b); n = the candidate; y_t = h_t = (1 - z) n + z h_{t-1}.

    Reset before the matrix (Cho et al. 2014): n = tanh(W_n x_t + U_n (r h_{t-1}) + b_n). Reset
    after it, as cuDNN and torch do: n = tanh(W_n x_t + b_n + r (U_n h_{t-1} + b')).
    U starts orthogonal per gate, b at zero but for the update gate z. State: h (B, W).
    """

    def __init__(self, width: int, reset: str = "after", update_bias: float = 1.0) -> None:
        super().__init__(width)
        self.input = nn.Linear(width, 3 * width)
        self.recurrent = nn.Linear(width, 3 * width, bias=False)
        for gate in range(3):
            rows = slice(gate * width, (gate + 1) * width)
            nn.init.xavier_uniform_(self.input.weight[rows])
            nn.init.orthogonal_(self.recurrent.weight[rows])
        nn.init.zeros_(self.input.bias)
        nn.init.constant_(self.input.bias[width : 2 * width], update_bias)
        self.candidate_bias = nn.Parameter(torch.zeros(width)) if reset == "after" else None

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (h,) = self.initial_state(len(x)) if state is None else state
        if self.candidate_bias is None:
            return self._reset_before(x, h)
        biases = torch.cat([self.zeros(2 * self.width), self.candidate_bias])
        weights = [self.input.weight, self.recurrent.weight, self.input.bias, biases]
        # torch's own recurrence: layers, dropout, training, bidirectional, batch first
        y, h = torch.gru(x, h[None], weights, True, 1, 0.0, True, False, True)
        return y, (h[0],)

    def _reset_before(self, x: Tensor, h: Tensor) -> tuple[Tensor, State]:
        gates, candidates = self.input(x.transpose(0, 1)).split([2 * self.width, self.width], -1)
        matrix = self.recurrent.weight.t()
        gate_matrix, candidate_matrix = matrix.split([2 * self.width, self.width], -1)
        states = []
        for gate, candidate in zip(gates.unbind(0), candidates.unbind(0), strict=True):
            r, z = torch.sigmoid(torch.addmm(gate, h, gate_matrix)).chunk(2, -1)
            h = torch.lerp(torch.tanh(torch.addmm(candidate, r * h, candidate_matrix)), h, z)
            states.append(h)
        return torch.stack(states, 1), (h,)

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, self.width),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        r, z, n = self.input(x).chunk(3, -1)
        matrix_r, matrix_z, matrix_n = self.recurrent.weight.chunk(3, 0)
        r = torch.sigmoid(r + h @ matrix_r.t())
        z = torch.sigmoid(z + h @ matrix_z.t())
        if self.candidate_bias is None:
            n = torch.tanh(n + (r * h) @ matrix_n.t())
        else:
            n = torch.tanh(n + r * (h @ matrix_n.t() + self.candidate_bias))
        h = (1 - z) * n + z * h
        return h, (h,)
