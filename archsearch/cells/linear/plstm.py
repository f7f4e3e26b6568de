"""Parallelisable linear source-transition-mark network (pLSTM) on a sequence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State, split_width
from archsearch.cells.linear.gates import full, in_full
from archsearch.cells.linear.lane_values import (
    above_zero,
    moved,
    several_gated,
    several_once,
    several_values,
    turned,
)
from archsearch.cells.linear.short_conv import ShortConv
from archsearch.kernels.memories.lanes.gated_lanes import Position, gated, gated_lanes
from archsearch.kernels.memories.lanes.lane_memory import pass_once
from archsearch.kernels.memories.lanes.lane_mixer import lane_mixer
from archsearch.kernels.norms.gated_norm import gated_norm
from archsearch.kernels.projections.projected import projected, untouched

OWN_LANE = 3.0  # how much a transition prefers its own lane at the start


class PLSTM(Cell):
    """Memories C[j] on the ``lanes`` edges between neighbouring positions, per head.

    o_t[o] = (sum_j M_t[o, j] C_{t-1}[j]' q_t + (q_t . k_t) sum_w D_t[o, w] v_t[w]) / sqrt(K), and
    C_t[i] = sum_j T_t[i, j] C_{t-1}[j] + k_t sum_w S_t[w, i] v_t[w]': source S, transition T, mark
    M and direct path D are functions of x_t, and o and w go over ``values`` N, outputs as many;
    y_t = W_o (rms(o_t) silu(W_g x_t)) (Poeppel et al. 2025, arXiv 2506.11997, section 3, with
    J_K = J_Q = 1 and J_V = J_O = N). A sequence is the graph with ``lanes`` parallel edges from
    each position to the next. Nothing can explode: in the ``propagate`` mode (P) an edge's content
    is divided among all edges that follow, T[i, j] = softmax_i(a)[i, j] f_j, so that the sizes of a
    column sum to less than one; in the ``diffuse`` mode (D) it stays in its lane, T = diag(f), so
    that one path joins two edges; ``orthogonal`` turns it, T = U diag(f) V, U and V products of
    rotations in the planes of two lanes, so that the spectral norm is below one. f = tanh(5 e), or
    where not ``negative`` the logistic function of 5 e. ``conv`` puts a short causal convolution
    and silu on q, k and v. State: C (B, H, lanes, K, K) and the convolution's (B, conv - 1,
    (2 + N) W). Turning and several values are slower than the others.
    """

    def __init__(
        self,
        width: int,
        heads: int = 4,
        lanes: int = 2,
        mode: str = "propagate",
        conv: int = 4,
        conv_start: str = "uniform",
        negative: bool = True,
        values: int = 1,
    ) -> None:
        super().__init__(width)
        self.heads, self.lanes, self.negative, self.values = heads, lanes, negative, values
        self.head_size = split_width(width, heads)
        self.shared = mode == "propagate" and lanes > 1
        self.turned = mode == "orthogonal" and lanes > 1
        outer = values * width
        self.project = nn.Linear(width, 2 * width + outer, bias=False)
        self.conv = ShortConv(2 * width + outer, conv, conv_start, activated=conv > 0)
        # per head: source, mark and strength of each lane, the direct path, and shares or angles
        between = lanes**2 if self.shared else lanes * (lanes - 1) if self.turned else 0
        self.parts = [values * lanes, values * lanes, lanes, values**2, between]
        self.gates = nn.Linear(width, heads * sum(self.parts))
        self.norm = nn.RMSNorm(self.head_size, eps=1e-5)
        self.open = nn.Linear(width, outer, bias=False)
        self.output = nn.Linear(outer, width, bias=False)
        for weight in (*self.project.weight.split(width), self.open.weight):
            nn.init.xavier_uniform_(weight, gain=2**-2.5)
        nn.init.xavier_uniform_(self.output.weight)
        self._start()

    @torch.no_grad()
    def _start(self) -> None:
        """At first transitions do not see the input, and lanes differ in source and mark alone."""
        self.gates.weight.mul_(0.1)
        weight = self.gates.weight.view(self.heads, -1, self.width)
        bias = torch.ones(self.heads, sum(self.parts))
        _, _, strength, _, between = weight.split(self.parts, 1)
        _, _, _, direct, moved = bias.split(self.parts, 1)
        strength.zero_()
        between.zero_()
        direct.copy_(torch.eye(self.values).flatten())
        moved.zero_()
        if self.shared:
            moved.copy_(OWN_LANE * torch.eye(self.lanes).flatten())
        self.gates.bias.copy_(bias.flatten())

    def _gates(self, x: Tensor) -> Tensor:
        """(..., H P), strengths such that 5 of them within tanh are the factors."""
        gates = full(projected(self.gates, x))
        if self.negative:
            return gates
        before, strength, after = gates.unflatten(-1, (self.heads, -1)).split(
            [sum(self.parts[:2]), self.lanes, sum(self.parts[3:])], -1
        )
        return torch.cat([before, above_zero(strength), after], -1).flatten(-2)

    def _split(self, mixed: Tensor, x: Tensor) -> Position:
        """What :func:`pass_once` is given, or with several values :func:`several_once`."""
        gates = self._gates(x)
        if not self._several():
            return gated(mixed, gates, self.heads, self.lanes)
        q, k, v = mixed.split([self.width, self.width, self.values * self.width], -1)
        q, k = (part.unflatten(-1, (self.heads, -1)) for part in (q, k))
        v = v.unflatten(-1, (self.heads, self.values, -1))
        parts = gates.unflatten(-1, (self.heads, -1)).split(self.parts, -1)
        source, mark = (part.unflatten(-1, (self.values, self.lanes)) for part in parts[:2])
        direct = parts[3].unflatten(-1, (self.values, self.values))
        transition = in_full(turned if self.turned else moved, parts[2], parts[4])
        return q * self.head_size**-0.5, k, v, source, transition, mark, direct

    def _several(self) -> bool:
        return self.values > 1 or self.turned

    def _whole(self) -> bool:
        """Whether the cell's weights alone say what it computes, so that one kernel can do it."""
        linear = map(untouched, (self.project, self.gates, self.open, self.output))
        rest = untouched(self.conv, ShortConv) and untouched(self.norm, nn.RMSNorm)
        usual = self.negative and not self._several()
        return all(linear) and rest and usual and self.conv.taps > 0

    def _answer(self, read: Tensor, x: Tensor) -> Tensor:
        read = read.flatten(-3, -2) if self._several() else read  # (..., H N, K)
        normed = gated_norm(read, self.norm.weight, projected(self.open, x))
        return projected(self.output, normed.to(x.dtype))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        memory, recent = self.initial_state(len(x)) if state is None else state
        if self._whole():
            y, recent, memory = lane_mixer(
                *(x, recent, memory, self.project.weight, self.conv.weight, self.gates.weight),
                *(self.gates.bias, self.norm.weight, self.open.weight, self.output.weight),
            )
            return y, (memory, recent)
        mixed, recent = self.conv(projected(self.project, x), recent)
        if self.turned:
            read, memory = in_full(several_values, *self._split(mixed, x), memory)
        elif self.values > 1:
            read, memory = in_full(several_gated, mixed, self._gates(x), memory)
        else:
            read, memory = in_full(gated_lanes, mixed, self._gates(x), memory)
        return self._answer(read, x), (memory, recent)

    def initial_state(self, batch: int) -> State:
        memory = self.zeros(batch, self.heads, self.lanes, self.head_size, self.head_size)
        return memory, self.zeros(batch, max(self.conv.taps - 1, 0), self.conv.channels)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        memory, recent = state
        mixed, recent = self.conv.step(projected(self.project, x), recent)
        once = several_once if self._several() else pass_once
        read, memory = in_full(once, *self._split(mixed, x), memory)
        return self._answer(read, x), (memory, recent)
