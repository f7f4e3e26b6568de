"""DeltaNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from archsearch.cells.cell import Cell, State
from archsearch.cells.linear.gates import full, in_full
from archsearch.cells.linear.keys import sized
from archsearch.cells.linear.short_conv import ShortConv
from archsearch.kernels.memories.delta_rule import delta_rule
from archsearch.kernels.norms.gated_norm import gated_norm
from archsearch.kernels.one_type import one_type
from archsearch.kernels.projections.projected import projected


class DeltaNet(Cell):
    """S_t = (I - beta_t k_t k_t') S_{t-1} + beta_t k_t v_t', o_t = S_t' q_t, per head.

    q, k and v are projected, convolved over ``conv`` positions and activated, then q and k get
    length one; y_t = W_o rms(o_t), which makes a scale of q idle (Yang et al. 2024, arXiv
    2406.06484), or W_o (rms(o_t) silu(W_g x_t)) with an ``output_gate``. beta_t = beta_range
    s(w x_t + b): along k_t the memory keeps 1 - beta_t, so a range of 2 allows the negative
    eigenvalues that counting modulo two needs (Grazzi et al. 2024, arXiv 2411.12537). The ``norm``
    "sum" divides q and k by their sums instead (:func:`archsearch.cells.linear.keys.unit_sum`).
    State: the memory S (B, H, K, V) with V = expand_v K, and the convolution's (B, conv - 1, .).
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
        norm: str = "l2",
        expand_v: float = 1.0,
        output_gate: bool = False,
    ) -> None:
        super().__init__(width)
        self.heads, self.beta_range = heads, beta_range
        self.head_size, self.value_size = head_size, int(head_size * expand_v)
        keys, values = heads * head_size, heads * self.value_size
        self.sizes = [keys, keys, values]
        self.project = nn.Linear(width, 2 * keys + values, bias=False)
        silu = activation == "silu"
        self.conv = ShortConv(2 * keys + values, conv, conv_start, activated=silu)
        self.relu, self.sized = activation == "relu", sized(norm, activation)
        self.strength = nn.Linear(width, heads)
        self.norm = nn.RMSNorm(self.value_size, eps=1e-5)
        self.output = nn.Linear(values, width, bias=False)
        for weight in self.project.weight.split(self.sizes):
            nn.init.xavier_uniform_(weight, gain=2**-2.5)
        nn.init.xavier_uniform_(self.strength.weight, gain=2**-2.5)
        nn.init.zeros_(self.strength.bias)
        nn.init.xavier_uniform_(self.output.weight)
        self.open = nn.Linear(width, values, bias=False) if output_gate else None
        if self.open is not None:
            nn.init.xavier_uniform_(self.open.weight, gain=2**-2.5)

    def _split(self, mixed: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mixed = relu(mixed) if self.relu else mixed
        both, v = mixed.tensor_split([2 * self.sizes[0]], -1)
        q, k = self.sized(both.unflatten(-1, (2 * self.heads, -1))).chunk(2, -2)
        beta = self.beta_range * torch.sigmoid(self.strength(x))  # (..., H)
        return q, k, v.unflatten(-1, (self.heads, -1)), beta

    def _answer(self, read: Tensor, x: Tensor) -> Tensor:
        opened = None if self.open is None else projected(self.open, x)
        normed = gated_norm(full(read), self.norm.weight, opened)
        return projected(self.output, normed.to(x.dtype))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        memory, recent = self.initial_state(len(x)) if state is None else state
        mixed, recent = self.conv(projected(self.project, x), recent)
        read, memory = in_full(delta_rule, *self._split(mixed, x), memory)
        return self._answer(read, x), (memory, recent)

    def initial_state(self, batch: int) -> State:
        memory = self.zeros(batch, self.heads, self.head_size, self.value_size)
        return memory, self.zeros(batch, max(self.conv.taps - 1, 0), self.conv.channels)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        memory, recent = state
        mixed, recent = self.conv.step(projected(self.project, x), recent)
        q, k, v, beta, memory = one_type(*self._split(mixed, x), memory)  # (B, H, K or V)
        held = torch.einsum("bhk,bhkv->bhv", k, memory)
        change = beta[..., None] * (v - held)
        memory = memory + k[..., None] * change[..., None, :]
        return self._answer(torch.einsum("bhk,bhkv->bhv", q, memory), x), (memory, recent)
