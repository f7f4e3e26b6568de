"""Gated recurrent unit."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.cells.recurrent.heads import HeadwiseLinear
from archsearch.kernels.recurrences.recurrence import gru


class GRU(Cell):
    """r, z = s(W x_t + U h_{t-1} + b); n = the candidate; y_t = h_t = (1 - z) n + z h_{t-1}.

    Reset before the matrix (Cho et al. 2014): n = tanh(W_n x_t + U_n (r h_{t-1}) + b_n). Reset
    after it, as cuDNN and torch do: n = tanh(W_n x_t + b_n + r (U_n h_{t-1} + b')).
    U starts orthogonal per gate, b at zero but for the update gate z. With several heads every
    U is block-diagonal (arXiv 2412.07752). State: h (B, W).
    """

    state_matrices = frozenset({"recurrent"})

    def __init__(
        self, width: int, reset: str = "after", update_bias: float = 1.0, heads: int = 1
    ) -> None:
        super().__init__(width)
        self.input = nn.Linear(width, 3 * width)
        self.recurrent = HeadwiseLinear(width, gates=3, heads=heads)
        for gate in range(3):
            nn.init.xavier_uniform_(self.input.weight[gate * width : (gate + 1) * width])
            for block in self.recurrent.blocks(gate):
                nn.init.orthogonal_(block)
        nn.init.zeros_(self.input.bias)
        nn.init.constant_(self.input.bias[width : 2 * width], update_bias)
        self.candidate_bias = nn.Parameter(torch.zeros(width)) if reset == "after" else None

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (h,) = self.initial_state(len(x)) if state is None else state
        if self.candidate_bias is None:
            return self._reset_before(x, h)
        u = self.recurrent
        of_input, bias = u.of_head(self.input.weight), u.of_head(self.input.bias)
        inner, h = u.of_head(self.candidate_bias), u.by_head(h)
        heads = zip(h, of_input, u.of_head(u.weight), bias, inner, strict=True)
        y = torch.stack([gru(x, *parts) for parts in heads], -2).flatten(-2)
        return y, (y[:, -1],)

    def _reset_before(self, x: Tensor, h: Tensor) -> tuple[Tensor, State]:
        u = self.recurrent
        size = u.in_features
        driven = u.apart(self.input(x.transpose(0, 1)))
        gates, candidates = torch.split(driven, [2 * size, size], -1)
        gate_matrix, candidate_matrix = torch.split(u.matrix(), [2 * size, size], -1)
        h, states = u.apart(h), []
        for gate, candidate in zip(gates.unbind(0), candidates.unbind(0), strict=True):
            r, z = torch.sigmoid(u.advance(gate, h, gate_matrix)).chunk(2, -1)
            n = torch.tanh(u.advance(candidate, r * h, candidate_matrix))
            h = torch.lerp(n, h, z)
            states.append(h)
        return u.together(torch.stack(states, -2)), (u.together(h),)

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, self.width),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        r, z, n = self.input(x).chunk(3, -1)
        of_r, of_z, of_n = self.recurrent(h).chunk(3, -1)
        r, z = torch.sigmoid(r + of_r), torch.sigmoid(z + of_z)
        if self.candidate_bias is None:
            of_n = self.recurrent(r * h).chunk(3, -1)[2]
            n = torch.tanh(n + of_n)
        else:
            n = torch.tanh(n + r * (of_n + self.candidate_bias))
        h = (1 - z) * n + z * h
        return h, (h,)
