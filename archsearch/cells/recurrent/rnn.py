"""The vanilla recurrent network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State


class RNN(Cell):
    """h_t = phi(W x_t + U h_{t-1} + b), y_t = h_t (Elman 1990).

    phi is tanh or relu. U starts orthogonal, as the identity with a near-zero W (with relu the
    IRNN of arXiv 1504.00941), or uniform within 1/sqrt(width). State: h (B, W).
    """

    def __init__(self, width: int, activation: str = "tanh", init: str = "orthogonal") -> None:
        super().__init__(width)
        self.activation = torch.tanh if activation == "tanh" else torch.relu
        self.input = nn.Linear(width, width)
        self.recurrent = nn.Linear(width, width, bias=False)
        bound = width**-0.5
        nn.init.uniform_(self.input.weight, -bound, bound)
        nn.init.zeros_(self.input.bias)
        if init == "orthogonal":
            nn.init.orthogonal_(self.recurrent.weight)
        elif init == "identity":
            nn.init.eye_(self.recurrent.weight)
            nn.init.normal_(self.input.weight, std=0.001)
        else:
            nn.init.uniform_(self.recurrent.weight, -bound, bound)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (h,) = self.initial_state(len(x)) if state is None else state
        driven = self.input(x.transpose(0, 1))  # (T, B, W): one product for all positions
        matrix, states = self.recurrent.weight.t(), []
        for drive in driven.unbind(0):
            h = self.activation(torch.addmm(drive, h, matrix))
            states.append(h)
        return torch.stack(states, 1), (h,)

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, self.width),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        h = self.activation(self.input(x) + self.recurrent(h))
        return h, (h,)
