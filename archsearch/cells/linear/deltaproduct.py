"""DeltaProduct: several overwriting steps per position."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from archsearch.cells.cell import Cell, State
from archsearch.cells.linear.fading import Fading
from archsearch.cells.linear.gates import full, in_full
from archsearch.cells.linear.short_conv import ShortConv
from archsearch.kernels.memories.delta_rule import delta_rule
from archsearch.kernels.memories.gated_delta import gated_delta, overwrite_once
from archsearch.kernels.memories.linear_attention import SLOWEST_LOG_DECAY
from archsearch.kernels.norms.gated_norm import gated_norm
from archsearch.kernels.norms.unit_length import unit_length
from archsearch.kernels.projections.projected import projected


class DeltaProduct(Cell):
    """S <- (I - beta_j k_j k_j') S + beta_j k_j v_j' for j = 1 ... steps, then o_t = S_t' q_t.

    A position multiplies its memory by a product of ``steps`` generalised Householder matrices,
    which with a ``beta_range`` of 2 rotates and permutes where one matrix only reflects; where
    ``fade``, the memory is first multiplied by alpha_t (Siems et al. 2025, arXiv 2502.10297,
    section 3). It is DeltaNet on a sequence in which every position stands ``steps`` times and the
    last is read. y_t = W_o rms(o_t). State: the memory S (B, H, K, K) and the convolution's
    (B, conv - 1, .).
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
    ) -> None:
        super().__init__(width)
        self.heads, self.head_size, self.steps = heads, head_size, steps
        self.beta_range = beta_range
        size = heads * head_size
        self.project = nn.Linear(width, (1 + 2 * steps) * size, bias=False)
        self.conv = ShortConv((1 + 2 * steps) * size, conv, conv_start, activated=True)
        self.strength = nn.Linear(width, steps * heads)
        self.fading = Fading(width, heads) if fade else None
        self.norm = nn.RMSNorm(head_size, eps=1e-5)
        self.output = nn.Linear(size, width, bias=False)
        for weight in self.project.weight.split(size):
            nn.init.xavier_uniform_(weight, gain=2**-2.5)
        nn.init.xavier_uniform_(self.strength.weight, gain=2**-2.5)
        nn.init.zeros_(self.strength.bias)
        nn.init.xavier_uniform_(self.output.weight)

    def _split(self, mixed: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """q (..., H, K), then k, v (..., steps, H, K) and beta (..., steps, H)."""
        parts = mixed.unflatten(-1, (1 + 2 * self.steps, self.heads, -1))
        q, k, v = parts.split([1, self.steps, self.steps], -3)
        q, k = unit_length(q.squeeze(-3)), unit_length(k)
        beta = self.beta_range * torch.sigmoid(self.strength(x))
        return q, k, v, beta.unflatten(-1, (self.steps, self.heads))

    def _answer(self, read: Tensor, x: Tensor) -> Tensor:
        normed = gated_norm(full(read), self.norm.weight, None)
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
        memory = self.zeros(batch, self.heads, self.head_size, self.head_size)
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
