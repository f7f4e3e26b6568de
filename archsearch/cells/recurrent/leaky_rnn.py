"""A recurrent network whose units have time constants of their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.kernels.recurrences.vanilla import activated, vanilla


class LeakyRNN(Cell):
    """h_t = (1 - 1/tau) h_{t-1} + (1/tau) phi(W x_t + U h_{t-1} + b), y_t = h_t.

    The Euler form, one step long, of tau dh/dt = -h + phi(W x + U h + b) (Funahashi & Nakamura
    1993). tau = 1 + exp(tau_log) > 1 is trained for every unit, as one number for all, or stays
    as it starts (trained: Khajehabdollahi et al. 2023, arXiv 2309.12927). It starts at ``tau``
    steps, or with ``spread`` spaced geometrically from 2 to ``tau``. phi is tanh or a ReLU of
    slope 0.1 below zero. U starts orthogonal. State: h (B, W).
    """

    no_decay = frozenset({"tau_log"})
    state_matrices = frozenset({"recurrent"})

    def __init__(
        self,
        width: int,
        timescales: str = "unit",
        spread: bool = True,
        tau: float = 10.0,
        activation: str = "tanh",
    ) -> None:
        super().__init__(width)
        self.activation = activation
        self.input = nn.Linear(width, width)
        self.recurrent = nn.Linear(width, width, bias=False)
        nn.init.xavier_uniform_(self.input.weight)
        nn.init.zeros_(self.input.bias)
        nn.init.orthogonal_(self.recurrent.weight)
        beyond = torch.full((1 if timescales == "shared" else width,), tau - 1)
        if spread and timescales != "shared":
            beyond = torch.logspace(0, 1, width, base=tau - 1)
        self.tau_log: Tensor
        if timescales == "fixed":
            self.register_buffer("tau_log", beyond.log())
        else:
            self.tau_log = nn.Parameter(beyond.log())

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (h,) = self.initial_state(len(x)) if state is None else state
        driven = self.input(x.transpose(0, 1))  # (T, B, W): one product for all positions
        leak = torch.sigmoid(-self.tau_log)
        states, h = vanilla(driven, h, self.recurrent.weight.t(), leak, self.activation)
        return states, (h,)

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, self.width),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        tau = 1 + self.tau_log.exp()
        new = activated(self.input(x) + self.recurrent(h), self.activation)
        h = (1 - 1 / tau) * h + new / tau
        return h, (h,)
