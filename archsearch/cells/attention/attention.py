"""Causal softmax attention with a growing or a bounded cache."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from archsearch.cells.attention.rotary import rotate
from archsearch.cells.attention.sparse import power_attention, window_attention
from archsearch.cells.cell import Cell, State, split_width
from archsearch.errors import ArchitectureError

SPARSE_FROM = 48  # below about as many positions one masked product beats many small ones


class Attention(Cell):
    """o_i = sum_j softmax_j(q_i' k_j / sqrt(d) + bias) v_j over the keys j that i may see.

    A key at distance D = i - j >= 0 is seen by ``full`` always, by ``window`` when D < window,
    and by ``power`` when D is zero or a power of two, so that n positions are joined in log2 n
    layers (arXiv 2503.03588, with blocks of one). ``rope`` rotates queries and keys (arXiv
    2104.09864), ``alibi`` adds a bias of -D times a slope per head (arXiv 2108.12409).
    State: keys and values seen so far, each (B, H, S, d), and the position of each row (B,);
    S is at most window - 1 for ``window`` and grows with the sequence otherwise.
    """

    def __init__(
        self,
        width: int,
        heads: int = 4,
        pattern: str = "full",
        window: int = 16,
        positions: str = "rope",
    ) -> None:
        super().__init__(width)
        self.heads, self.pattern, self.window, self.positions = heads, pattern, window, positions
        self.head_size = split_width(width, heads)
        if positions == "rope" and self.head_size % 2:
            raise ArchitectureError(
                f"rope needs heads of even size, not {self.head_size}; take fewer heads"
            )
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.output = nn.Linear(width, width, bias=False)
        for weight in self.project.weight.chunk(3):
            nn.init.xavier_uniform_(weight)
        nn.init.xavier_uniform_(self.output.weight)
        self.register_buffer("slopes", alibi_slopes(heads), persistent=False)  # (H,)

    def _split(self, x: Tensor, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        heads = self.project(x).unflatten(-1, (3 * self.heads, -1))
        both, v = heads.split([2 * self.heads, self.heads], -2)  # queries and keys: (B, T, 2H, d)
        if self.positions == "rope":
            both = rotate(both, positions)
        q, k = both.chunk(2, -2)
        return q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)  # (B, H, T, d)

    def _seen(self, distance: Tensor) -> Tensor:
        if self.pattern == "window":
            return (distance >= 0) & (distance < self.window)
        if self.pattern == "power":
            return (distance >= 0) & ((distance & (distance - 1)) == 0)
        return distance >= 0

    def _attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        length, keys = q.shape[2], k.shape[2]
        slopes = self.slopes if self.positions == "alibi" else None
        if self.pattern == "window" and length > SPARSE_FROM + 2 * self.window:
            return window_attention(q, k, v, self.window, slopes)
        if self.pattern == "power" and length > 2 * SPARSE_FROM:
            return power_attention(q, k, v, slopes)
        if self.pattern == "full" and slopes is None and keys == length:
            return scaled_dot_product_attention(q, k, v, is_causal=True)
        rows = torch.arange(keys - length, keys, device=q.device)
        distance = rows[:, None] - torch.arange(keys, device=q.device)
        bias = self._seen(distance)  # (T, S)
        if slopes is not None:
            lowered = slopes.to(q.dtype)[:, None, None] * -distance
            bias = lowered.masked_fill(~bias, -math.inf)  # (H, T, S)
        return scaled_dot_product_attention(q, k, v, attn_mask=bias)

    def _keep(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if self.pattern == "window":
            begin = max(k.shape[2] - (self.window - 1), 0)
            return k[:, :, begin:], v[:, :, begin:]
        return k, v

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        rows, length, _ = x.shape
        old_k, old_v, start = self.initial_state(rows) if state is None else state
        # all rows start together unless a state says otherwise
        first = start[:1] if state is None else start
        q, k, v = self._split(x, first[:, None] + torch.arange(length, device=x.device))
        k, v = torch.cat([old_k, k], 2), torch.cat([old_v, v], 2)
        out = self._attend(q, k, v)
        return self.output(out.transpose(1, 2).flatten(2)), (*self._keep(k, v), start + length)

    def initial_state(self, batch: int) -> State:
        empty = self.zeros(batch, self.heads, 0, self.head_size)
        return empty, empty, self.counters(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        old_k, old_v, position = state
        q, k, v = self._split(x[:, None], position[:, None])
        k, v = torch.cat([old_k, k], 2), torch.cat([old_v, v], 2)
        scores = (q @ k.transpose(-1, -2)) * self.head_size**-0.5  # (B, H, 1, S)
        distance = torch.arange(k.shape[2] - 1, -1, -1, device=x.device)
        if self.positions == "alibi":
            scores = scores - self.slopes[:, None, None] * distance
        weights = scores.masked_fill(~self._seen(distance), -math.inf).softmax(-1)
        y = self.output((weights @ v)[:, :, 0].flatten(1))
        return y, (*self._keep(k, v), position + 1)


def alibi_slopes(heads: int) -> Tensor:
    """2^(-8h/H) for H a power of two, else filled up from the next power's odd members."""
    power = 2 ** int(math.log2(heads))
    slopes = [2.0 ** (-8 * (head + 1) / power) for head in range(power)]
    slopes += [2.0 ** (-4 * (head + 1) / power) for head in range(0, 2 * (heads - power), 2)]
    return torch.tensor(slopes)
