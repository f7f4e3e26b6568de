"""A state that follows a differential equation between inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State


class ODECell(Cell):
    """dh/dt = f(h, x_t) for one unit of time per input, which is held constant; y_t = h_t is the
    state at its end (Chen et al. 2018, arXiv 1806.07366).

    f is "gru", (1 - z)(n - h) with r, z = s(W x + U h + b) and n = tanh(W x + U (r h) + b)
    (De Brouwer et al. 2019, arXiv 1905.12374), or "leaky", (tanh(W x + U h + b) - h) / tau with
    tau = 1 + exp(tau_log) > 1 trained per unit. The unit of time is cut into ``substeps`` of
    Euler's or the classical Runge-Kutta method. U starts orthogonal, tau at 2. State: h (B, W).
    """

    state_matrices = frozenset({"recurrent"})

    def __init__(
        self, width: int, field: str = "gru", solver: str = "rk4", substeps: int = 1
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
        self.tau_log = nn.Parameter(torch.zeros(width)) if field == "leaky" else None

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (h,) = self.initial_state(len(x)) if state is None else state
        driven, matrices, states = self._cut(self.input(x.transpose(0, 1))), self._matrices(), []
        for drives in zip(*(part.unbind(0) for part in driven), strict=True):
            h = self._one_unit(drives, matrices, h)
            states.append(h)
        return torch.stack(states, 1), (h,)

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, self.width),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        h = self._one_unit(self._cut(self.input(x)), self._matrices(), h)
        return h, (h,)

    def _cut(self, drives: Tensor) -> tuple[Tensor, ...]:
        """What the gates get and what the candidate gets; the whole where there is no gate."""
        return torch.split(drives, 2 * self.width, -1)

    def _matrices(self) -> tuple[Tensor, ...]:
        return self._cut(self.recurrent.weight.t())

    def _one_unit(
        self, drives: tuple[Tensor, ...], matrices: tuple[Tensor, ...], h: Tensor
    ) -> Tensor:
        size = 1 / self.substeps
        for _ in range(self.substeps):
            k1 = self._field(drives, matrices, h)
            if self.solver == "euler":
                h = torch.add(h, k1, alpha=size)
                continue
            k2 = self._field(drives, matrices, torch.add(h, k1, alpha=size / 2))
            k3 = self._field(drives, matrices, torch.add(h, k2, alpha=size / 2))
            k4 = self._field(drives, matrices, torch.add(h, k3, alpha=size))
            h = torch.add(h, k1 + k4 + 2 * (k2 + k3), alpha=size / 6)
        return h

    def _field(self, drives: tuple[Tensor, ...], matrices: tuple[Tensor, ...], h: Tensor) -> Tensor:
        """dh/dt."""
        if self.tau_log is not None:
            n = torch.tanh(torch.addmm(drives[0], h, matrices[0]))
            return (n - h) * torch.sigmoid(-self.tau_log)
        r, z = torch.sigmoid(torch.addmm(drives[0], h, matrices[0])).chunk(2, -1)
        n = torch.tanh(torch.addmm(drives[1], r * h, matrices[1]))
        return (1 - z) * (n - h)
