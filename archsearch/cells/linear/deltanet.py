"""DeltaNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from archsearch.cells.cell import Cell, State
from archsearch.cells.linear.gates import full, in_full
from archsearch.cells.linear.short_conv import ShortConv
from archsearch.kernels.memories.delta_rule import delta_rule
from archsearch.kernels.norms.gated_norm import gated_norm
from archsearch.kernels.norms.unit_length import unit_length
from archsearch.kernels.one_type import one_type
from archsearch.kernels.projections.projected import projected


class DeltaNet(Cell):
    """S_t = (I - beta_t k_t k_t') S_{t-1} + beta_t k_t v_t', o_t = S_t' q_t, per head.

    q, k and v are projected, convolved over ``conv`` positions and activated, then q and k get
    length one; y_t = W_o rms(o_t), which makes a scale of q idle (Yang et al. 2024, arXiv
    2406.06484). beta_t = beta_range s(w x_t + b): along k_t the memory keeps 1 - beta_t, so a range
    of 2 allows the negative eigenvalues that counting modulo two needs (Grazzi et al. 2024,
    arXiv 2411.12537).
    State: the memory S (B, H, K, V) and the convolution's (B, conv - 1, .).
    """

    def __init__(
        self,
        width: int,
        heads: int = 2,
        head_size: int = 16,
        conv: int = 4,
        beta_range: int = 1,
        activation: str = "silu",
        conv_start: str = "uniform",
    ) -> None:
        super().__init__(width)
        self.heads, self.head_size, self.beta_range = heads, head_size, beta_range
        size = heads * head_size
        self.project = nn.Linear(width, 3 * size, bias=False)
        self.conv = ShortConv(3 * size, conv, conv_start, activated=activation == "silu")
        self.relu = activation == "relu"
        self.strength = nn.Linear(width, heads)
        self.norm = nn.RMSNorm(head_size, eps=1e-5)
        self.output = nn.Linear(size, width, bias=False)
        for weight in self.project.weight.split(size):
            nn.init.xavier_uniform_(weight, gain=2**-2.5)
        nn.init.xavier_uniform_(self.strength.weight, gain=2**-2.5)
        nn.init.zeros_(self.strength.bias)
        nn.init.xavier_uniform_(self.output.weight)

    def _split(self, mixed: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mixed = relu(mixed) if self.relu else mixed
        parts = mixed.unflatten(-1, (3 * self.heads, -1))
        both, v = parts.split([2 * self.heads, self.heads], -2)
        q, k = unit_length(both).chunk(2, -2)
        beta = self.beta_range * torch.sigmoid(self.strength(x))  # (..., H)
        return q, k, v, beta

    def _answer(self, read: Tensor, x: Tensor) -> Tensor:
        normed = gated_norm(full(read), self.norm.weight, None)
        return projected(self.output, normed.to(x.dtype))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        memory, recent = self.initial_state(len(x)) if state is None else state
        mixed, recent = self.conv(projected(self.project, x), recent)
        read, memory = in_full(delta_rule, *self._split(mixed, x), memory)
        return self._answer(read, x), (memory, recent)

    def initial_state(self, batch: int) -> State:
        memory = self.zeros(batch, self.heads, self.head_size, self.head_size)
        return memory, self.zeros(batch, max(self.conv.taps - 1, 0), self.conv.channels)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        memory, recent = state
        mixed, recent = self.conv.step(projected(self.project, x), recent)
        q, k, v, beta, memory = one_type(*self._split(mixed, x), memory)  # (B, H, K or V)
        held = torch.einsum("bhk,bhkv->bhv", k, memory)
        change = beta[..., None] * (v - held)
        memory = memory + k[..., None] * change[..., None, :]
        return self._answer(torch.einsum("bhk,bhkv->bhv", q, memory), x), (memory, recent)
