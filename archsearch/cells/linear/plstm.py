"""Parallelisable linear source-transition-mark network (pLSTM) on a sequence."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State, split_width
from archsearch.cells.linear.gates import full, in_full
from archsearch.cells.linear.short_conv import ShortConv
from archsearch.kernels.memories.lanes.gated_lanes import Position, gated, gated_lanes
from archsearch.kernels.memories.lanes.lane_memory import pass_once
from archsearch.kernels.memories.lanes.lane_mixer import lane_mixer
from archsearch.kernels.norms.gated_norm import gated_norm
from archsearch.kernels.projections.projected import projected, untouched

OWN_LANE = 3.0  # how much a transition prefers its own lane at the start


class PLSTM(Cell):
    """Memories C[j] on the ``lanes`` edges between neighbouring positions, per head.

    o_t = (sum_j M_t[j] C_{t-1}[j]' q_t + D_t (q_t . k_t) v_t) / sqrt(K), and
    C_t[i] = sum_j T_t[i, j] C_{t-1}[j] + S_t[i] k_t v_t': source S, transition T, mark M and direct
    path D are functions of x_t; y_t = W_o (rms(o_t) silu(W_g x_t)) (Poeppel et al. 2025, arXiv
    2506.11997, section 3, with J_K = J_Q = J_V = J_O = 1). A sequence is the graph with
    ``lanes`` parallel edges from each position to the next. Nothing can explode: in the
    ``propagate`` mode (P) an edge's content is divided among all edges that follow,
    T[i, j] = softmax_i(a)[i, j] tanh(5 e_j), so that the sizes of a column sum to less than one;
    in the ``diffuse`` mode (D) it stays in its lane, T = diag(tanh(5 e)), so that one path joins
    two edges. Both allow negative factors. ``conv`` puts a short causal convolution and silu on
    q, k and v. State: C (B, H, lanes, K, K) and the convolution's (B, conv - 1, 3 W).
    """

    def __init__(
        self,
        width: int,
        heads: int = 4,
        lanes: int = 2,
        mode: str = "propagate",
        conv: int = 4,
        conv_start: str = "uniform",
    ) -> None:
        super().__init__(width)
        self.heads, self.lanes = heads, lanes
        self.head_size = split_width(width, heads)
        self.shared = mode == "propagate" and lanes > 1
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.conv = ShortConv(3 * width, conv, conv_start, activated=conv > 0)
        # per head: source, mark and strength of each lane, the direct path, and the shares
        self.parts = [lanes, lanes, lanes, 1, lanes**2 if self.shared else 0]
        self.gates = nn.Linear(width, heads * sum(self.parts))
        self.norm = nn.RMSNorm(self.head_size, eps=1e-5)
        self.open = nn.Linear(width, width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        for weight in (*self.project.weight.split(width), self.open.weight):
            nn.init.xavier_uniform_(weight, gain=2**-2.5)
        nn.init.xavier_uniform_(self.output.weight)
        self._start()

    @torch.no_grad()
    def _start(self) -> None:
        """At first transitions do not see the input, and lanes differ in source and mark alone."""
        lanes = self.lanes
        self.gates.weight.mul_(0.1)
        weight = self.gates.weight.view(self.heads, -1, self.width)
        weight[:, 2 * lanes : 3 * lanes] = 0.0
        weight[:, 3 * lanes + 1 :] = 0.0
        bias = torch.ones(self.heads, sum(self.parts))
        if self.shared:
            bias[:, 3 * lanes + 1 :] = OWN_LANE * torch.eye(lanes).flatten()
        self.gates.bias.copy_(bias.flatten())

    def _split(self, mixed: Tensor, x: Tensor) -> Position:
        return gated(mixed, full(projected(self.gates, x)), self.heads, self.lanes)

    def _whole(self) -> bool:
        """Whether the cell's weights alone say what it computes, so that one kernel can do it."""
        linear = map(untouched, (self.project, self.gates, self.open, self.output))
        rest = untouched(self.conv, ShortConv) and untouched(self.norm, nn.RMSNorm)
        return all(linear) and rest and self.conv.taps > 0

    def _answer(self, read: Tensor, x: Tensor) -> Tensor:
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
        read, memory = in_full(gated_lanes, mixed, projected(self.gates, x), memory)
        return self._answer(read, x), (memory, recent)

    def initial_state(self, batch: int) -> State:
        memory = self.zeros(batch, self.heads, self.lanes, self.head_size, self.head_size)
        return memory, self.zeros(batch, max(self.conv.taps - 1, 0), self.conv.channels)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        memory, recent = state
        mixed, recent = self.conv.step(projected(self.project, x), recent)
        read, memory = in_full(pass_once, *self._split(mixed, x), memory)
        return self._answer(read, x), (memory, recent)
