"""Diagonal state space model (S4D)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, glu

from archsearch.cells.cell import Cell, State
from archsearch.cells.linear.gates import full, in_full
from archsearch.cells.linear.hippo import legs_factors
from archsearch.cells.linear.timescale import log_uniform
from archsearch.errors import ArchitectureError
from archsearch.kernels.scans.state_space import diagonal_state_space


def rates(init: str, state: int) -> Tensor:
    """A (state / 2,), complex: one of each conjugate pair (Gu et al. 2022, section 4)."""
    n = torch.arange(state // 2).double()
    half = torch.full_like(n, -0.5)
    match init:
        case "lin":
            return torch.complex(half, math.pi * n)
        case "inv":
            return torch.complex(half, state / math.pi * (state / (2 * n + 1) - 1))
        case "legs":
            skew = legs_factors(state)[0]
            return torch.complex(half, torch.linalg.eigvalsh(1j * skew)[state // 2 :])
        case _:
            return torch.complex(-(n + 1), torch.zeros_like(n))


def drawn_rates(width: int, state: int) -> Tensor:
    """A (width, state / 2): -u + i pi (state / 2) v with u and v uniform in (0, 1)."""
    u, v = torch.rand(2, width, state // 2, dtype=torch.float64)
    # a rate of exactly zero has no logarithm
    return torch.complex(-u.clamp_min(1e-3), math.pi * (state // 2) * v)


def discretise(a: Tensor, dt: Tensor, rule: str) -> tuple[Tensor, Tensor]:
    """The factor and the input of one step of size ``dt``: x' = a x + u held, or the trapezium."""
    if rule == "zoh":
        factor = torch.exp(dt * a)
        return factor, torch.expm1(dt * a) / a
    return (1 + dt * a / 2) / (1 - dt * a / 2), dt / (1 - dt * a / 2)


class S4D(Cell):
    """m_t = F m_{t-1} + G u_t, r_t = 2 Re(C m_t) + D u_t per channel, y_t = glu(W_o gelu(r_t)).

    F and G are A = -exp(a_log) + i frequency and 1 over steps of size exp(dt_log), with the input
    held (``zoh``) or by the trapezium rule (``bilinear``). ``init`` starts A as -1/2 + i pi n
    (lin), -1/2 + i (N / pi) (N / (2n + 1) - 1) (inv), the normal part of HiPPO-LegS (legs),
    -(n + 1) (real), or of each channel anew as -u + i pi (N / 2) v with u and v uniform in (0, 1)
    (rand); C starts complex normal, D normal, exp(dt_log) log-uniform (Gu et al. 2022, arXiv
    2206.11893). A stays as it started without ``train_rates``; A and dt learn at ``lr_share`` of
    the learning rate. State: one m of each conjugate pair, (B, W, state / 2, 2).
    """

    no_decay = frozenset({"a_log", "frequency", "dt_log", "skip"})

    a_log: Tensor
    frequency: Tensor

    def __init__(
        self,
        width: int,
        state: int = 32,
        init: str = "lin",
        rule: str = "zoh",
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        train_rates: bool = True,
        lr_share: float = 1.0,
    ) -> None:
        super().__init__(width)
        if state % 2:
            raise ArchitectureError(f"state {state} is odd, but states come in pairs; take even")
        self.rule, modes = rule, state // 2
        a = drawn_rates(width, state) if init == "rand" else rates(init, state).repeat(width, 1)
        a_log, frequency = (-a.real).log().float(), a.imag.float()
        if train_rates:
            self.a_log, self.frequency = nn.Parameter(a_log), nn.Parameter(frequency)
        else:
            self.register_buffer("a_log", a_log)
            self.register_buffer("frequency", frequency)
        trained = ("a_log", "frequency", "dt_log") if train_rates else ("dt_log",)
        self.slower = dict.fromkeys(trained, lr_share)
        self.dt_log = nn.Parameter(log_uniform((width,), dt_min, dt_max))
        self.read = nn.Parameter(torch.randn(width, modes, 2) * 0.5**0.5)
        self.skip = nn.Parameter(torch.randn(width))
        self.output = nn.Linear(width, 2 * width)

    def _system(self) -> tuple[Tensor, Tensor, Tensor]:
        """Factor, input and read-out of a step, (W, M) each."""
        a = torch.complex(-full(self.a_log).exp(), full(self.frequency))
        factor, write = discretise(a, full(self.dt_log).exp()[:, None], self.rule)
        return factor, write, 2 * torch.view_as_complex(full(self.read))

    def _answer(self, read: Tensor, x: Tensor) -> Tensor:
        return glu(self.output(gelu(read + self.skip * x).to(x.dtype)), -1)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (pairs,) = self.initial_state(len(x)) if state is None else state
        memory = torch.view_as_complex(full(pairs))
        read, memory = in_full(diagonal_state_space, x, *self._system(), memory)
        return self._answer(read, x), (torch.view_as_real(memory),)

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, *self.read.shape),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        factor, write, read = self._system()
        memory = factor * torch.view_as_complex(full(state[0])) + write * full(x)[..., None]
        found = (read * memory).sum(-1).real
        return self._answer(found, x), (torch.view_as_real(memory),)
