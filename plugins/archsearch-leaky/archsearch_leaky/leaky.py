"""A leaky integrator with a trainable time constant per unit."""

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State


class Leaky(Cell):
    """h_t = h_{t-1} + (tanh(W x_t + U h_{t-1} + b) - h_{t-1}) / tau, y_t = h_t.

    tau = 1 + exp(tau_log) > 1 is trained per unit and starts spaced geometrically from 2 to
    ``slowest`` steps (Jaeger et al. 2007, Neural Networks 20(3)). State: h (B, W).
    """

    no_decay = frozenset({"tau_log"})

    def __init__(self, width: int, slowest: float = 32.0) -> None:
        super().__init__(width)
        self.input = nn.Linear(width, width)
        self.recurrent = nn.Linear(width, width, bias=False)
        nn.init.orthogonal_(self.recurrent.weight)
        self.tau_log = nn.Parameter(torch.logspace(0, 1, width, base=slowest - 1).log())

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, self.width),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        h = h + torch.sigmoid(-self.tau_log) * (torch.tanh(self.input(x) + self.recurrent(h)) - h)
        return h, (h,)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (h,) = self.initial_state(len(x)) if state is None else state
        driven = self.input(x.transpose(0, 1))  # (T, B, W): one product for all positions
        matrix, leak, states = self.recurrent.weight.t(), torch.sigmoid(-self.tau_log), []
        for drive in driven.unbind(0):
            # under autocast products are of half precision, and the state is not
            fresh = torch.tanh(torch.addmm(drive, h, matrix)).to(h.dtype)
            h = torch.lerp(h, fresh, leak)
            states.append(h)
        return torch.stack(states, 1), (h,)
