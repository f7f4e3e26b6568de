"""Feedforward sequential memory network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.kernels.convolutions.depthwise import depthwise


class FSMN(Cell):
    """p_t = W_2 relu(W_1 x_t + b), y_t = x_t + p_t + sum_{i < order} a_i p_{t-i} per channel.

    A learned finite memory in place of recurrence (Zhang et al. 2015, arXiv 1512.08301; compact
    form with a skip: Zhang et al. 2018, arXiv 1803.05030; no taps into the future). W_1 widens
    ``expand`` times. State: the last order - 1 values of p, (B, order - 1, W).
    """

    def __init__(self, width: int, order: int = 20, expand: int = 1) -> None:
        super().__init__(width)
        self.order = order
        self.widen = nn.Linear(width, expand * width)
        self.project = nn.Linear(expand * width, width, bias=False)
        # oldest tap first
        self.taps = nn.Parameter(torch.empty(order, width).uniform_(-1, 1) * order**-0.5)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (past,) = self.initial_state(len(x)) if state is None else state
        p = self.project(self.widen(x).relu())
        seen = torch.cat([past, p], 1)
        return x + p + depthwise(seen, self.taps), (seen[:, x.shape[1] :],)

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, self.order - 1, self.width),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        p = self.project(self.widen(x).relu())
        seen = torch.cat([state[0], p[:, None]], 1)
        return x + p + (seen * self.taps).sum(1), (seen[:, 1:],)
