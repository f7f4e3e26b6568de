"""Retention."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from archsearch.cells.attention.rotary import rotate
from archsearch.cells.cell import Cell, State, split_width
from archsearch.cells.linear.gates import full
from archsearch.errors import ArchitectureError
from archsearch.kernels.memories.linear_attention import SLOWEST_LOG_DECAY, linear_attention
from archsearch.kernels.norms.gated_norm import EPSILON, gated_norm
from archsearch.kernels.one_type import one_type
from archsearch.kernels.projections.projected import projected


class Retention(Cell):
    """S_t = gamma_h S_{t-1} + k_t v_t', o_t = S_t' q_t / sqrt(K), gamma_h = 1 - 2^-(exponent + h).

    y_t = W_o (rms(o_t) silu(W_g x_t)), the norm per head and without a scale; q and k may be
    rotated by their position (Sun et al. 2023, arXiv 2307.08621, section 2). Where ``decay`` is
    learned, gamma_h = s(a_h), and a_h starts where gamma_h is the fixed one; it counts as exp(-5)
    where it is smaller. A memory that keeps all but 1 - gamma_h is a sum over the last
    1 / (1 - gamma_h) steps; over more steps than that, where gamma_h has come near one, it grows
    as a sum does, and the norm takes its size away. State: the memory S (B, H, K, V) and the
    position of each row (B,).
    """

    def __init__(
        self,
        width: int,
        heads: int = 4,
        expand_v: float = 1.0,
        exponent: float = 5.0,
        rotary: bool = True,
        decay: str = "fixed",
    ) -> None:
        super().__init__(width)
        values = int(width * expand_v)
        self.heads, self.rotary = heads, rotary
        self.key_size = split_width(width, heads)
        self.value_size = split_width(values, heads, "value width")
        if rotary and self.key_size % 2:
            raise ArchitectureError(
                f"rotary needs heads of even size, not {self.key_size}; take fewer heads"
            )
        self.sizes = [width, width, values]
        self.project = nn.Linear(width, 2 * width + values, bias=False)
        self.open = nn.Linear(width, values, bias=False)
        self.output = nn.Linear(values, width, bias=False)
        for weight in (*self.project.weight.split(self.sizes), self.open.weight):
            nn.init.xavier_uniform_(weight, gain=2**-2.5)
        nn.init.xavier_uniform_(self.output.weight, gain=2**-1)
        exponents = exponent + torch.arange(heads)
        rates = torch.log1p(-(2.0**-exponents))
        if decay == "learned":
            self.keep = nn.Parameter(rates + math.log(2) * exponents)  # a (H,)
        else:
            self.register_buffer("log_decay", rates, persistent=False)  # (H,)
        self.learned = decay == "learned"

    def _log_decay(self) -> Tensor:
        if self.learned:
            return logsigmoid(full(self.keep)).clamp_min(SLOWEST_LOG_DECAY)
        return self.log_decay

    def _split(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        both, v = projected(self.project, x).split([2 * self.width, self.sizes[-1]], -1)
        both = both.unflatten(-1, (2 * self.heads, -1))  # queries and keys
        if self.rotary:
            both = rotate(both, positions)
        q, k = both.chunk(2, -2)
        return q, k, v.unflatten(-1, (self.heads, -1))

    def _answer(self, read: Tensor, x: Tensor) -> Tensor:
        # the scale of queries, 1 / sqrt(K), leaves the norm but for its epsilon
        epsilon = EPSILON * self.key_size
        normed = gated_norm(read, None, projected(self.open, x), epsilon)
        return projected(self.output, normed.to(x.dtype))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        rows, length, _ = x.shape
        memory, start = self.initial_state(rows) if state is None else state
        # all rows start together unless a state says otherwise
        first = start[:1] if state is None else start
        q, k, v = self._split(x, first[:, None] + torch.arange(length, device=x.device))
        log_decay = self._log_decay().expand(1, length, -1)
        read, memory = linear_attention(q, k, v, log_decay, memory)
        return self._answer(read, x), (memory, start + length)

    def initial_state(self, batch: int) -> State:
        memory = self.zeros(batch, self.heads, self.key_size, self.value_size)
        return memory, self.counters(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        memory, position = state
        q, k, v = self._split(x[:, None], position[:, None])  # (B, 1, H, K or V)
        memory = self._log_decay().exp()[:, None, None] * memory
        memory = memory + k[:, 0, :, :, None] * v[:, 0, :, None]
        read = torch.einsum("bhk,bhkv->bhv", *one_type(q[:, 0], memory))
        return self._answer(read, x), (memory, position + 1)
