"""Attention as a recurrent network (Aaren)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State, split_width
from archsearch.cells.linear.gates import full
from archsearch.kernels.scans.linear_scan import linear_scan


class Aaren(Cell):
    """o_t = sum_{j <= t} exp(s_j) v_j / sum_{j <= t} exp(s_j), s_j = q' k_j / sqrt(K) / c, by head.

    Softmax attention over the past with a trained query that does not see the input, so that
    three numbers per head carry it on: m_t = max(m_{t-1}, s_t), the sum u_t of exp(s - m_t) and
    w_t of exp(s - m_t) v. y_t = W_o o_t (Feng et al. 2024, arXiv 2405.13956, section 3). c is the
    ``temperature``; q starts normal of size ``query_scale``: small, and the past counts alike.
    Both set the size of the first scores; the temperature also says how far a step of training
    moves them. State: [w, u] (B, H, V + 1) and m (B, H), at first minus infinity.
    """

    no_decay = frozenset({"query"})

    def __init__(
        self, width: int, heads: int = 4, temperature: float = 1.0, query_scale: float = 1.0
    ) -> None:
        super().__init__(width)
        self.heads, self.head_size = heads, split_width(width, heads)
        self.scale = self.head_size**-0.5 / temperature
        self.query = nn.Parameter(query_scale * torch.randn(heads, self.head_size))
        self.project = nn.Linear(width, 2 * width, bias=False)  # keys, values
        self.output = nn.Linear(width, width, bias=False)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (..., H), and values beside a one (..., H, V + 1)."""
        k, v = full(self.project(x)).unflatten(-1, (2 * self.heads, -1)).chunk(2, -2)
        scores = (k * self.query).sum(-1) * self.scale
        return scores, torch.cat([v, torch.ones_like(v[..., :1])], -1)

    def _answer(self, sums: Tensor, x: Tensor) -> Tensor:
        return self.output((sums[..., :-1] / sums[..., -1:]).flatten(-2).to(x.dtype))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        sums, most = self.initial_state(len(x)) if state is None else state
        scores, values = self._split(x)
        # what is read does not depend on the maximum, so it needs no gradient
        highest = torch.cat([most[:, None], scores.detach()], 1).cummax(1).values
        kept = (highest[:, :-1] - highest[:, 1:]).exp()[..., None]
        added = (scores - highest[:, 1:]).exp()[..., None] * values
        sums = linear_scan(kept, added, sums)  # (B, T, H, V + 1)
        return self._answer(sums, x), (sums[:, -1], highest[:, -1])

    def initial_state(self, batch: int) -> State:
        sums = self.zeros(batch, self.heads, self.head_size + 1)
        return sums, self.zeros(batch, self.heads).fill_(-torch.inf)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        sums, most = state
        scores, values = self._split(x)
        highest = torch.maximum(most, scores.detach())
        sums = (most - highest).exp()[..., None] * sums
        sums = sums + (scores - highest).exp()[..., None] * values
        return self._answer(sums, x), (sums, highest)
