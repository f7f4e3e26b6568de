"""Gated DeltaNet."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from archsearch.cells.cell import Cell, State
from archsearch.cells.linear.fading import Fading
from archsearch.cells.linear.gates import full, in_full
from archsearch.cells.linear.keys import sized
from archsearch.cells.linear.short_conv import ShortConv
from archsearch.kernels.memories.gated_delta import gated_delta, overwrite_once
from archsearch.kernels.memories.linear_attention import SLOWEST_LOG_DECAY
from archsearch.kernels.norms.gated_norm import gated_norm
from archsearch.kernels.projections.projected import projected


class GatedDeltaNet(Cell):
    """S_t = (I - beta_t k_t k_t') alpha_t S_{t-1} + beta_t k_t v_t', o_t = S_t' q_t, per head.

    q, k and v are projected, convolved over ``conv`` positions and activated, by silu in the
    paper, then q and k get length one, or sum one where ``norm`` is "sum"
    (:func:`archsearch.cells.linear.keys.unit_sum`). beta_t = beta_range s(w x_t + b) overwrites
    what stands under a key, alpha_t (see :class:`archsearch.cells.linear.fading.Fading`, never
    below exp(-5)) clears all of a memory. y_t = W_o (rms(o_t) silu(W_g x_t)) (Yang et al. 2024,
    arXiv 2412.06464, section 3). A beta_range of 2 allows negative eigenvalues. State: the memory
    S (B, H, K, V) with V = expand_v K, and the convolution's (B, conv - 1, .).
    """

    def __init__(
        self,
        width: int,
        heads: int = 2,
        head_size: int = 16,
        expand_v: float = 1.0,
        conv: int = 4,
        beta_range: int = 1,
        conv_start: str = "uniform",
        activation: str = "silu",
        norm: str = "l2",
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
        self.fading = Fading(width, heads)
        self.norm = nn.RMSNorm(self.value_size, eps=1e-5)
        self.open = nn.Linear(width, values, bias=False)
        self.output = nn.Linear(values, width, bias=False)
        for weight in (*self.project.weight.split(self.sizes), self.open.weight):
            nn.init.xavier_uniform_(weight, gain=2**-2.5)
        nn.init.xavier_uniform_(self.strength.weight, gain=2**-2.5)
        nn.init.zeros_(self.strength.bias)
        nn.init.xavier_uniform_(self.output.weight)

    def _split(self, mixed: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        mixed = relu(mixed) if self.relu else mixed
        q, k, v = (part.unflatten(-1, (self.heads, -1)) for part in mixed.split(self.sizes, -1))
        q, k = self.sized(q), self.sized(k)
        beta = self.beta_range * torch.sigmoid(self.strength(x))  # (..., H)
        return q, k, v, beta, self.fading(x)

    def _answer(self, read: Tensor, x: Tensor) -> Tensor:
        normed = gated_norm(full(read), self.norm.weight, projected(self.open, x))
        return projected(self.output, normed.to(x.dtype))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        memory, recent = self.initial_state(len(x)) if state is None else state
        mixed, recent = self.conv(projected(self.project, x), recent)
        read, memory = in_full(gated_delta, *self._split(mixed, x), memory)
        return self._answer(read, x), (memory, recent)

    def initial_state(self, batch: int) -> State:
        memory = self.zeros(batch, self.heads, self.head_size, self.value_size)
        return memory, self.zeros(batch, max(self.conv.taps - 1, 0), self.conv.channels)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        memory, recent = state
        mixed, recent = self.conv.step(projected(self.project, x), recent)
        q, k, v, beta, log_decay = self._split(mixed, x)
        decay = log_decay.clamp_min(SLOWEST_LOG_DECAY).exp()
        read, memory = overwrite_once(q, k, v, beta, decay, memory)
        return self._answer(read, x), (memory, recent)
