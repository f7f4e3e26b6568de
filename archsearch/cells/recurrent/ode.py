"""A state that follows a differential equation between inputs."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.kernels.recurrences.ode_states import ode_states, one_unit


class ODECell(Cell):
    """dh/dt = f(h, x_t) for one unit of time per input, which is held constant; y_t = h_t is the
    state at its end (Chen et al. 2018, arXiv 1806.07366).

    f is "gru", (1 - z)(n - h) with r, z = s(W x + U h + b) and n = tanh(W x + U (r h) + b)
    (De Brouwer et al. 2019, arXiv 1905.12374), or "leaky", (tanh(W x + U h + b) - h) / tau with
    tau = 1 + exp(tau_log) > 1 trained per unit from ``tau``. The unit of time is cut into
    ``substeps`` of Euler's or the classical Runge-Kutta method. U starts orthogonal. State:
    h (B, W).
    """

    state_matrices = frozenset({"recurrent"})

    def __init__(
        self,
        width: int,
        field: str = "gru",
        solver: str = "rk4",
        substeps: int = 1,
        tau: float = 2.0,
    ) -> None:
        super().__init__(width)
        self.solver, self.substeps = solver, substeps
        gates = 3 if field == "gru" else 1
        self.input = nn.Linear(width, gates * width)
        self.recurrent = nn.Linear(width, gates * width, bias=False)
        for matrix in self.input.weight.chunk(gates):
            nn.init.xavier_uniform_(matrix)
        for matrix in self.recurrent.weight.chunk(gates):
            nn.init.orthogonal_(matrix)
        nn.init.zeros_(self.input.bias)
        tau_log = torch.full((width,), math.log(tau - 1))
        self.tau_log = nn.Parameter(tau_log) if field == "leaky" else None

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (h,) = self.initial_state(len(x)) if state is None else state
        states = ode_states(self.input(x.transpose(0, 1)), h, *self._field())
        return states.transpose(0, 1).contiguous(), (states[-1],)

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, self.width),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h = one_unit(self.input(x), state[0], *self._field())
        return h, (h,)

    def _field(self) -> tuple[Tensor, Tensor | None, str, int]:
        share = None if self.tau_log is None else torch.sigmoid(-self.tau_log)
        return self.recurrent.weight.t(), share, self.solver, self.substeps
