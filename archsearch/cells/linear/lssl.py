"""Linear state space layer with a dense matrix (LSSL)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, glu

from archsearch.cells.cell import Cell, State
from archsearch.cells.linear.gates import full
from archsearch.cells.linear.hippo import legs, legs_factors, legt_factors
from archsearch.cells.linear.timescale import log_uniform
from archsearch.kernels.scans.state_space import dense_state_space

FACTORS = {"legs": legs_factors, "legt": legt_factors}


class LSSL(Cell):
    """x' = A x + B u by the trapezium rule with steps of size dt, r = C x + D u, per channel.

    F = (I - dt A / 2)^-1 (I + dt A / 2), G = (I - dt A / 2)^-1 dt B, m_t = F m_{t-1} + G u_t,
    r_t = C m_t + D u_t, y_t = glu(W_o gelu(r_t)) (Gu et al. 2021, arXiv 2110.13985, section 3).
    A is that of all channels, dt, C and D are each channel's own. A = S - P P' - c I with S skew:
    both HiPPO matrices (``legs``, ``legt``) have this form, and no S and P can make it unstable.
    Where ``train_matrix``, S and P are trained from there; without it A is fixed. They and dt learn
    at ``lr_share`` of the learning rate. State: m (B, W, state). Slow and large beside S4D: work
    per step grows with the state squared.
    """

    no_decay = frozenset({"dt_log", "skip", "skew", "damping"})

    skew: Tensor
    damping: Tensor
    write: Tensor
    identity: Tensor

    def __init__(
        self,
        width: int,
        state: int = 16,
        init: str = "legs",
        train_matrix: bool = True,
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        lr_share: float = 1.0,
    ) -> None:
        super().__init__(width)
        *given, self.shift = FACTORS[init](state)
        kind = torch.get_default_dtype()
        skew, damping, write = (part.to(kind) for part in (*given, legs(state)[1]))
        if train_matrix:
            self.skew = nn.Parameter(skew)
            self.damping = nn.Parameter(damping)
        else:
            self.register_buffer("skew", skew, persistent=False)
            self.register_buffer("damping", damping, persistent=False)
        self.register_buffer("write", write, persistent=False)
        self.register_buffer("identity", torch.eye(state), persistent=False)
        self.dt_log = nn.Parameter(log_uniform((width,), dt_min, dt_max))
        trained = ("skew", "damping", "dt_log") if train_matrix else ("dt_log",)
        self.slower = dict.fromkeys(trained, lr_share)
        self.read = nn.Parameter(torch.randn(width, state) * state**-0.5)
        self.skip = nn.Parameter(torch.randn(width))
        self.output = nn.Linear(width, 2 * width)

    @property
    def matrix(self) -> Tensor:
        """A (state, state)."""
        given, damping = full(self.skew), full(self.damping)
        skew = (given - given.mT) / 2
        return skew - damping @ damping.mT - self.shift * full(self.identity)

    def _system(self) -> tuple[Tensor, Tensor]:
        """F (W, N, N) and G (W, N) of a step of each channel."""
        dt, identity = full(self.dt_log).exp()[:, None, None], full(self.identity)
        half = dt / 2 * self.matrix
        write = dt * full(self.write)[:, None]
        both = torch.cat([identity + half, write.expand(len(dt), -1, -1)], -1)
        solved = torch.linalg.solve(identity - half, both)
        return solved[..., :-1], solved[..., -1]

    def _answer(self, read: Tensor, x: Tensor) -> Tensor:
        return glu(self.output(gelu(read + self.skip * x).to(x.dtype)), -1)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (memory,) = self.initial_state(len(x)) if state is None else state
        with torch.autocast(x.device.type, enabled=False):
            read, memory = dense_state_space(
                full(x), *self._system(), full(self.read), full(memory)
            )
        return self._answer(read, x), (memory,)

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, *self.read.shape),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        with torch.autocast(x.device.type, enabled=False):
            matrix, write = self._system()
            memory = (
                torch.einsum("wij,bwj->bwi", matrix, full(state[0])) + write * full(x)[..., None]
            )
        return self._answer((self.read * memory).sum(-1), x), (memory,)
