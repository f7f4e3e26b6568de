"""DeltaProduct: several overwriting steps per position."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu

from archsearch.cells.cell import Cell, State
from archsearch.cells.linear.fading import Fading
from archsearch.cells.linear.gates import full, in_full
from archsearch.cells.linear.keys import sized
from archsearch.cells.linear.short_conv import ShortConv
from archsearch.kernels.memories.delta_rule import delta_rule
from archsearch.kernels.memories.gated_delta import gated_delta, overwrite_once
from archsearch.kernels.memories.linear_attention import SLOWEST_LOG_DECAY
from archsearch.kernels.norms.gated_norm import gated_norm
from archsearch.kernels.projections.projected import projected


class DeltaProduct(Cell):
    """S <- (I - beta_j k_j k_j') S + beta_j k_j v_j' for j = 1 ... steps, then o_t = S_t' q_t.

    A position multiplies its memory by a product of ``steps`` generalised Householder matrices,
    which with a ``beta_range`` of 2 rotates and permutes where one matrix only reflects; where
    ``fade``, the memory is first multiplied by alpha_t (Siems et al. 2025, arXiv 2502.10297,
    section 3). It is DeltaNet on a sequence in which every position stands ``steps`` times and the
    last is read, with the same ``activation``, ``norm`` and ``output_gate``. State: the memory
    S (B, H, K, V) with V = expand_v K, and the convolution's (B, conv - 1, .).
    """

    def __init__(
        self,
        width: int,
        heads: int = 2,
        head_size: int = 16,
        steps: int = 2,
        conv: int = 4,
        beta_range: int = 2,
        fade: bool = False,
        conv_start: str = "uniform",
        activation: str = "silu",
        norm: str = "l2",
        expand_v: float = 1.0,
        output_gate: bool = False,
    ) -> None:
        super().__init__(width)
        self.heads, self.steps, self.beta_range = heads, steps, beta_range
        self.head_size, self.value_size = head_size, int(head_size * expand_v)
        keys, values = heads * head_size, heads * self.value_size
        self.sizes = [keys, steps * keys, steps * values]
        self.project = nn.Linear(width, sum(self.sizes), bias=False)
        silu = activation == "silu"
        self.conv = ShortConv(sum(self.sizes), conv, conv_start, activated=silu)
        self.relu, self.sized = activation == "relu", sized(norm, activation)
        self.strength = nn.Linear(width, steps * heads)
        self.fading = Fading(width, heads) if fade else None
        self.norm = nn.RMSNorm(self.value_size, eps=1e-5)
        self.output = nn.Linear(values, width, bias=False)
        for weight in self.project.weight.split([keys] * (1 + steps) + [values] * steps):
            nn.init.xavier_uniform_(weight, gain=2**-2.5)
        nn.init.xavier_uniform_(self.strength.weight, gain=2**-2.5)
        nn.init.zeros_(self.strength.bias)
        nn.init.xavier_uniform_(self.output.weight)
        self.open = nn.Linear(width, values, bias=False) if output_gate else None
        if self.open is not None:
            nn.init.xavier_uniform_(self.open.weight, gain=2**-2.5)

    def _split(self, mixed: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """q (..., H, K), k (..., steps, H, K), v (..., steps, H, V) and beta (..., steps, H)."""
        q, k, v = (relu(mixed) if self.relu else mixed).split(self.sizes, -1)
        q = self.sized(q.unflatten(-1, (self.heads, -1)))
        k, v = (part.unflatten(-1, (self.steps, self.heads, -1)) for part in (k, v))
        beta = self.beta_range * torch.sigmoid(self.strength(x))
        return q, self.sized(k), v, beta.unflatten(-1, (self.steps, self.heads))

    def _answer(self, read: Tensor, x: Tensor) -> Tensor:
        opened = None if self.open is None else projected(self.open, x)
        normed = gated_norm(full(read), self.norm.weight, opened)
        return projected(self.output, normed.to(x.dtype))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        memory, recent = self.initial_state(len(x)) if state is None else state
        mixed, recent = self.conv(projected(self.project, x), recent)
        q, k, v, beta = self._split(mixed, x)
        k, v, beta = (part.flatten(1, 2) for part in (k, v, beta))  # (B, T steps, H, ...)
        if self.fading is None:
            read, memory = in_full(delta_rule, q, k, v, beta, memory)
        else:
            # only the first of a position's steps fades the memory
            log_decay = pad(self.fading(x)[:, :, None], (0, 0, 0, self.steps - 1))
            read, memory = in_full(gated_delta, q, k, v, beta, log_decay.flatten(1, 2), memory)
        return self._answer(read, x), (memory, recent)

    def initial_state(self, batch: int) -> State:
        memory = self.zeros(batch, self.heads, self.head_size, self.value_size)
        return memory, self.zeros(batch, max(self.conv.taps - 1, 0), self.conv.channels)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        memory, recent = state
        mixed, recent = self.conv.step(projected(self.project, x), recent)
        q, k, v, beta = self._split(mixed, x)
        kept = torch.ones_like(beta[:, 0])
        decay = kept
        if self.fading is not None:
            decay = self.fading(x).clamp_min(SLOWEST_LOG_DECAY).exp()
        for j in range(self.steps):
            read, memory = overwrite_once(q, k[:, j], v[:, j], beta[:, j], decay, memory)
            decay = kept
        return self._answer(read, x), (memory, recent)
