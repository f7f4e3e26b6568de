"""Selective state space model (Mamba, S6)."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from archsearch.cells.cell import Cell, State
from archsearch.cells.linear.gates import full, in_full, spread
from archsearch.cells.linear.short_conv import ShortConv
from archsearch.cells.linear.timescale import before_softplus, log_uniform
from archsearch.kernels.norms.gated_skip import gated_skip
from archsearch.kernels.projections.projected import projected, untouched
from archsearch.kernels.scans.selective.selective_mixer import selective_mixer
from archsearch.kernels.scans.selective.selective_scan import selective_scan


class Mamba(Cell):
    """h_t = exp(d_t A) h_{t-1} + d_t B_t u_t, r_t = C_t' h_t + D u_t, y_t = W_o (r_t silu(z_t)).

    u and z are projections of x, u convolved over ``conv`` positions and activated; the step size
    d_t = softplus(W_d W_x u_t + b_d) > 0 per channel, the input B_t and the read-out C_t of all
    channels are functions of u_t; A = -exp(a_log) is diagonal and starts at -1 ... -state in each
    channel, softplus(b_d) log-uniform from ``dt_min`` to ``dt_max``, but no smaller than 1e-4 (Gu,
    Dao 2023, arXiv 2312.00752, algorithm 2). Where ``negative`` the factor is 2 exp(d_t A) - 1
    (Grazzi et al. 2024, arXiv 2411.12537). State: h (B, E, state) with E = expand W, and the
    convolution's (B, conv - 1, E).
    """

    no_decay = frozenset({"a_log", "skip"})

    def __init__(
        self,
        width: int,
        state: int = 16,
        expand: float = 2.0,
        conv: int = 4,
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        negative: bool = False,
        conv_start: str = "uniform",
    ) -> None:
        super().__init__(width)
        self.size, self.negative = int(width * expand), negative
        rank = math.ceil(width / 16)
        self.parts = [rank, state, state]
        self.project = nn.Linear(width, 2 * self.size, bias=False)
        self.conv = ShortConv(self.size, conv, conv_start, activated=True)
        self.select = nn.Linear(self.size, sum(self.parts), bias=False)
        self.delta = nn.Linear(rank, self.size)
        self.a_log = nn.Parameter(torch.arange(1, state + 1).float().log().repeat(self.size, 1))
        self.skip = nn.Parameter(torch.ones(self.size))
        self.output = nn.Linear(self.size, width, bias=False)
        nn.init.uniform_(self.delta.weight, -(rank**-0.5), rank**-0.5)
        start = log_uniform((self.size,), dt_min, dt_max).exp().clamp_min(1e-4)
        with torch.no_grad():
            self.delta.bias.copy_(before_softplus(start))

    def _select(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Step sizes (..., E), inputs and read-outs (..., N)."""
        low, write, read = projected(self.select, u).split(self.parts, -1)
        return softplus(full(projected(self.delta, low))), write, read

    def _coefficients(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        delta, write, read = self._select(u)
        factor = spread(torch.exp(-delta[..., None] * self.a_log.exp()), self.negative)
        return factor, (delta * u)[..., None] * write[..., None, :], read  # (..., E, N), (..., N)

    def _whole(self) -> bool:
        """Whether the cell's weights alone say what it computes, so that one kernel can do it."""
        linear = (self.project, self.select, self.output)
        plain = all(untouched(part) and part.bias is None for part in linear)
        rest = untouched(self.delta) and untouched(self.conv, ShortConv)
        return plain and rest and self.conv.taps > 0 and not self.negative

    def _answer(self, found: Tensor, u: Tensor, z: Tensor) -> Tensor:
        return projected(self.output, gated_skip(found, u, self.skip, z).to(z.dtype))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        h, recent = self.initial_state(len(x)) if state is None else state
        if self._whole():
            weights = self.project.weight, self.conv.weight, self.select.weight
            weights += self.delta.weight, self.delta.bias, self.a_log.exp(), self.skip
            y, h, recent = selective_mixer(x, recent, h, *weights, self.output.weight)
            return y, (h, recent)
        u, z = projected(self.project, x).chunk(2, -1)
        u, recent = self.conv(u, recent)
        delta, write, read = self._select(u)
        scan = partial(selective_scan, negative=self.negative)
        found, h = in_full(scan, delta, u, write, read, self.a_log.exp(), h)
        return self._answer(found, u, z), (h, recent)

    def initial_state(self, batch: int) -> State:
        recent = self.zeros(batch, max(self.conv.taps - 1, 0), self.size)
        return self.zeros(batch, *self.a_log.shape), recent

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h, recent = state
        u, z = projected(self.project, x).chunk(2, -1)
        u, recent = self.conv.step(u, recent)
        factor, added, read = self._coefficients(u)
        h = factor * h + added
        return self._answer(_read(h, read), u, z), (h, recent)


def _read(h: Tensor, read: Tensor) -> Tensor:
    """(..., E, N) times (..., N)."""
    return (h @ read.to(h.dtype)[..., None])[..., 0]
