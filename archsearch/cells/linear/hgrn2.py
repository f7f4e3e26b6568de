"""Hierarchically gated recurrent network with a matrix state."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from archsearch.cells.cell import Cell, State, split_width
from archsearch.cells.linear.gates import full, in_full, spread
from archsearch.cells.linear.short_conv import ShortConv
from archsearch.kernels.memories.signed_attention import attend_once, floored, signed_attention
from archsearch.kernels.norms.gated_norm import gated_norm
from archsearch.kernels.projections.projected import projected


class HGRN2(Cell):
    """S_t = diag(a_t) S_{t-1} + (1 - p_t) v_t', o_t = S_t' q_t, per head.

    q_t = silu(W_q x_t), v_t = W_v x_t, p_t = g + (1 - g) s(W_p x_t + b_p), y_t = W_o rms(o_t):
    gated linear attention whose key is what the gate lets go (Qin et al. 2024, arXiv 2404.07904,
    section 3). The share p_t that is kept never falls below the ``lower_bound`` g, an option of
    each layer where the paper trains one per layer. a_t = p_t, or 2 p_t - 1 where ``negative``;
    its size counts as exp(-5) where it is smaller. With an ``output_gate``, as in HGRN,
    y_t = W_o (rms(o_t) silu(W_g x_t)). State: S (B, H, W / H, W / H) and the
    convolution's (B, conv - 1, W).
    """

    def __init__(
        self,
        width: int,
        heads: int = 4,
        lower_bound: float = 0.0,
        conv: int = 0,
        negative: bool = False,
        conv_start: str = "uniform",
        output_gate: bool = False,
    ) -> None:
        super().__init__(width)
        self.heads, self.head_size = heads, split_width(width, heads)
        self.lower_bound, self.negative = lower_bound, negative
        self.conv = ShortConv(width, conv, conv_start)
        self.project = nn.Linear(width, 2 * width, bias=False)  # queries, values
        self.gate = nn.Linear(width, width)
        self.norm = nn.RMSNorm(width, eps=1e-5)
        self.output = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.gate.bias)
        self.open = nn.Linear(width, width, bias=False) if output_gate else None

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        q, v = projected(self.project, x).chunk(2, -1)
        left = torch.sigmoid(-full(projected(self.gate, x)))
        if self.lower_bound:
            left = (1 - self.lower_bound) * left  # 1 - p
        parts = (silu(q), left, v, spread(1 - left, self.negative))
        q, k, v, factor = (part.unflatten(-1, (self.heads, -1)) for part in parts)
        return q, k, v, factor

    def _answer(self, read: Tensor, x: Tensor) -> Tensor:
        opened = None if self.open is None else projected(self.open, x)
        normed = gated_norm(full(read).flatten(-2)[..., None, :], self.norm.weight, opened)
        return projected(self.output, normed.to(x.dtype))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        memory, recent = self.initial_state(len(x)) if state is None else state
        x, recent = self.conv(x, recent)
        read, memory = in_full(signed_attention, *self._split(x), memory)
        return self._answer(read, x), (memory, recent)

    def initial_state(self, batch: int) -> State:
        memory = self.zeros(batch, self.heads, self.head_size, self.head_size)
        return memory, self.zeros(batch, max(self.conv.taps - 1, 0), self.width)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        memory, recent = state
        x, recent = self.conv.step(x, recent)
        q, k, v, factor = self._split(x)
        read, memory = in_full(attend_once, q, k, v, floored(factor), memory)
        return self._answer(read, x), (memory, recent)
