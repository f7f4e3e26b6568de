"""Linear recurrent unit."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from archsearch.cells.cell import Cell, State
from archsearch.cells.linear.gates import full
from archsearch.errors import ArchitectureError
from archsearch.kernels.scans.linear_scan import linear_scan


class LRU(Cell):
    """h_t = lambda h_{t-1} + gamma (B x_t), y_t = Re(C h_t) + d x_t, with h complex.

    lambda = exp(-exp(nu) + i exp(theta)) never leaves the unit disc; it starts uniform on the
    ring between r_min and r_max, and gamma at sqrt(1 - |lambda|^2), so that the state's variance
    starts at the input's (Orvieto et al. 2023, arXiv 2303.06349, section 3); without ``gamma`` it
    is one, and the variance that of the input times 1 / (1 - |lambda|^2). nu, theta and gamma learn
    at ``lr_share`` of the learning rate. B and C are kept as real matrices over (real, imaginary)
    pairs. State: h (B, state, 2).
    """

    no_decay = frozenset({"nu_log", "theta_log", "gamma_log", "skip"})

    def __init__(
        self,
        width: int,
        state: int = 64,
        r_min: float = 0.0,
        r_max: float = 0.999,
        max_phase: float = 6.28,
        gamma: bool = True,
        lr_share: float = 1.0,
    ) -> None:
        super().__init__(width)
        if r_min >= r_max:
            raise ArchitectureError(f"r_min {r_min} is not below r_max {r_max}; lower r_min")
        self.input = nn.Linear(width, 2 * state, bias=False)
        self.output = nn.Linear(2 * state, width, bias=False)
        nn.init.normal_(self.input.weight, std=(2 * width) ** -0.5)
        nn.init.normal_(self.output.weight, std=state**-0.5)
        # the area between two circles grows with the radius squared
        squared = (r_min**2 + torch.rand(state) * (r_max**2 - r_min**2)).clamp_min(1e-8)
        self.nu_log = nn.Parameter((-0.5 * squared.log()).log())
        self.theta_log = nn.Parameter((max_phase * torch.rand(state)).clamp_min(1e-6).log())
        self.gamma_log = nn.Parameter(0.5 * torch.log1p(-squared)) if gamma else None
        self.skip = nn.Parameter(torch.randn(width))
        rates = ("nu_log", "theta_log", "gamma_log") if gamma else ("nu_log", "theta_log")
        self.slower = dict.fromkeys(rates, lr_share)

    @property
    def eigenvalues(self) -> Tensor:
        """lambda (state,), complex."""
        return torch.exp(torch.complex(-full(self.nu_log).exp(), full(self.theta_log).exp()))

    def _drive(self, x: Tensor) -> Tensor:
        # gamma goes into the matrix, which is smaller than what it drives
        weight = self.input.weight
        if self.gamma_log is not None:
            weight = self.gamma_log.exp().repeat_interleave(2)[:, None] * weight
        driven = full(linear(x, weight))
        return torch.view_as_complex(driven.unflatten(-1, (-1, 2)))

    def _read(self, h: Tensor, x: Tensor) -> Tensor:
        return self.output(torch.view_as_real(h).flatten(-2).to(x.dtype)) + self.skip * x

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (pairs,) = self.initial_state(len(x)) if state is None else state
        h0 = torch.view_as_complex(full(pairs))
        h = linear_scan(self.eigenvalues[None, None], self._drive(x), h0)  # (B, T, N)
        return self._read(h, x), (torch.view_as_real(h[:, -1]),)

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, len(self.nu_log), 2),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h = self.eigenvalues * torch.view_as_complex(full(state[0])) + self._drive(x)
        return self._read(h, x), (torch.view_as_real(h),)
