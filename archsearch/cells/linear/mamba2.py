"""Mamba-2: a selective state space model with one rate per head."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from archsearch.cells.cell import Cell, State, split_width
from archsearch.cells.linear.gates import full, spread
from archsearch.cells.linear.short_conv import ShortConv
from archsearch.cells.linear.timescale import before_softplus, log_uniform
from archsearch.kernels.memories.duality.duality_mixer import duality_mixer
from archsearch.kernels.memories.signed_attention import attend_once, floored, signed_attention
from archsearch.kernels.norms.gated_skip import gated_skip
from archsearch.kernels.projections.parts import parts
from archsearch.kernels.projections.projected import projected, untouched


class Mamba2(Cell):
    """S_t = exp(d_t A) S_{t-1} + B_t (d_t u_t)', r_t = S_t' C_t + D u_t, per head.

    u, B and C are projections of x, convolved over ``conv`` positions and activated; B and C are
    those of all heads, d_t = softplus(w x_t + b_d) and A = -exp(a_log) are one number per head.
    y_t = W_o rms(r_t silu(W_z x_t)) (Dao, Gu 2024, arXiv 2405.21060, section 7): linear attention
    with queries C, keys B and values d u. softplus(b_d) starts log-uniform from ``dt_min`` to
    ``dt_max``, but no smaller than 1e-4, A uniform in (-16, -1). Where ``negative`` the factor is
    2 exp(d_t A) - 1. Its size counts as exp(-5) where it is smaller. State: S (B, H, state, E / H)
    with E = expand W, and the convolution's (B, conv - 1, E + 2 state).
    """

    no_decay = frozenset({"a_log", "delta_bias", "skip"})

    def __init__(
        self,
        width: int,
        heads: int = 4,
        state: int = 32,
        expand: float = 2.0,
        conv: int = 4,
        dt_min: float = 1e-3,
        dt_max: float = 0.1,
        negative: bool = False,
        conv_start: str = "uniform",
    ) -> None:
        super().__init__(width)
        self.size, self.heads, self.negative = int(width * expand), heads, negative
        self.head_size = split_width(self.size, heads, "inner width")
        self.parts = [self.size, state, state]
        self.project = nn.Linear(width, 2 * self.size + 2 * state + heads, bias=False)
        self.conv = ShortConv(sum(self.parts), conv, conv_start, activated=True)
        self.a_log = nn.Parameter((1 + 15 * torch.rand(heads)).log())
        start = log_uniform((heads,), dt_min, dt_max).exp().clamp_min(1e-4)
        self.delta_bias = nn.Parameter(before_softplus(start))
        self.skip = nn.Parameter(torch.ones(heads))
        self.norm = nn.RMSNorm(self.size, eps=1e-5)
        self.output = nn.Linear(self.size, width, bias=False)

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The gate z (..., E), what is convolved and the step sizes (..., H)."""
        sizes = [self.size, sum(self.parts), self.heads]
        if untouched(self.project):
            z, mixed, delta = parts(x, self.project.weight, sizes)
        else:
            z, mixed, delta = self.project(x).split(sizes, -1)
        return z, mixed, softplus(full(delta) + self.delta_bias)

    def _split(self, mixed: Tensor, delta: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        u, write, read = mixed.split(self.parts, -1)
        u = u.unflatten(-1, (self.heads, -1))
        factor = spread(torch.exp(-delta * self.a_log.exp()), self.negative)
        return read[..., None, :], write[..., None, :], u, factor  # one head that all share

    def _whole(self) -> bool:
        """Whether the cell's weights alone say what it computes, so that one kernel can do it."""
        linear = (self.project, self.output)
        plain = all(untouched(part) and part.bias is None for part in linear)
        rest = untouched(self.norm, nn.RMSNorm) and untouched(self.conv, ShortConv)
        return plain and rest and self.conv.taps > 0 and not self.negative

    def _skip(self) -> Tensor:
        return self.skip[:, None].expand(-1, self.head_size).flatten()

    def _answer(self, read: Tensor, u: Tensor, z: Tensor) -> Tensor:
        gated = gated_skip(read.flatten(-2), u.flatten(-2), self._skip(), z, self.norm.weight)
        gated = gated.to(z.dtype)
        if untouched(self.output):
            return parts(gated, self.output.weight, [self.width])[0]
        return projected(self.output, gated)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        memory, recent = self.initial_state(len(x)) if state is None else state
        if self._whole():
            weights = self.project.weight, self.conv.weight, self.delta_bias, self.a_log.exp()
            weights += self._skip(), self.norm.weight, self.output.weight
            y, *left = duality_mixer(x, memory, recent, *weights)
            return y, tuple(left)
        z, mixed, delta = self._parts(x)
        mixed, recent = self.conv(mixed, recent)
        q, k, u, factor = self._split(mixed, delta)
        read, memory = signed_attention(q, k, delta[..., None] * u, factor, memory)
        return self._answer(read, u, z), (memory, recent)

    def initial_state(self, batch: int) -> State:
        memory = self.zeros(batch, self.heads, self.parts[1], self.head_size)
        return memory, self.zeros(batch, max(self.conv.taps - 1, 0), self.conv.channels)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        memory, recent = state
        z, mixed, delta = self._parts(x)
        mixed, recent = self.conv.step(mixed, recent)
        q, k, u, factor = self._split(mixed, delta)
        added = delta[..., None] * u
        read, memory = attend_once(q, k, added, floored(factor)[..., None], memory)
        return self._answer(read, u, z), (memory, recent)
