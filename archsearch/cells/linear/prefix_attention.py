"""Prefix linear attention."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, pad, relu

from archsearch.cells.cell import Cell, State, split_width
from archsearch.cells.linear.gates import in_full
from archsearch.cells.linear.projected import projected
from archsearch.kernels.memories.linear_attention import linear_attention
from archsearch.kernels.memories.pair_products import pair_products

SMALLEST_SUM = 1e-6


FEATURES: dict[str, Callable[[Tensor], Tensor]] = {
    "taylor": pair_products,
    "elu": lambda x: elu(x) + 1,
    "relu2": lambda x: relu(x) ** 2,
}


class PrefixAttention(Cell):
    """o_i = f(q_i)' S_i / (f(q_i) . z_i), per head, f positive.

    S_i and z_i sum f(k_j) v_j' and f(k_j) over j <= i, and once more f(k'_j) v'_j' and f(k'_j)
    over j <= i of the first ``prefix`` positions: those are written twice, by keys and values of
    their own (Arora et al. 2024, arXiv 2407.05483, section 4). There, a position of the prefix
    sees all of it; here it sees what came before, so that the cell can stream. Behind the prefix
    both agree. q and k are scaled by the fourth root of their size, y_t = W_o o_t. State: [S, z]
    (B, H, F, V + 1), with F the size of f, and the position of each row (B,).
    """

    def __init__(
        self,
        width: int,
        heads: int = 4,
        prefix: int = 16,
        feature_size: int = 8,
        features: str = "taylor",
    ) -> None:
        super().__init__(width)
        self.heads, self.prefix, self.feature_size = heads, prefix, feature_size
        self.head_size = split_width(width, heads)
        self.map = FEATURES[features]
        self.mapped = len(self.map(torch.zeros(feature_size)))
        keys = heads * feature_size
        self.parts = [keys, keys, keys, width, width]
        # queries, keys and the prefix's keys, values and the prefix's values
        self.project = nn.Linear(width, sum(self.parts), bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q (..., H, F), then k (2, ..., H, F) and [v, 1] (2, ..., H, V + 1): all, prefix."""
        mixed = projected(self.project, x)
        q, k, v = self._parts(mixed, 1, 3)
        _, first, second = self._parts(mixed, 2, 4)
        return q, torch.stack([k, first]), torch.stack([v, second])

    def _parts(self, mixed: Tensor, key: int, value: int) -> tuple[Tensor, Tensor, Tensor]:
        parts = mixed.split(self.parts, -1)
        q, k, v = (parts[at].unflatten(-1, (self.heads, -1)) for at in (0, key, value))
        scale = self.feature_size**-0.25
        return self.map(q * scale), self.map(k * scale), pad(v, (0, 1), value=1.0)

    def _answer(self, read: Tensor) -> Tensor:
        return projected(
            self.output, (read[..., :-1] / read[..., -1:].clamp_min(SMALLEST_SUM)).flatten(-2)
        )

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        memory, start = self.initial_state(len(x)) if state is None else state
        length = x.shape[1]
        # with a state, rows may stand anywhere
        reach = length if state is not None else min(length, self.prefix)
        mixed = projected(self.project, x)
        q, k, v = self._parts(mixed, 1, 3)
        within = start[:, None] + torch.arange(reach, device=x.device) < self.prefix  # (B, reach)
        _, first, second = self._parts(mixed[:, :reach], 2, 4)
        first = first * within[..., None, None]
        zeros = torch.zeros_like(memory)
        read, after = self._attend(q[:, :reach], k[:, :reach], v[:, :reach], memory)
        again, more = self._attend(q[:, :reach], first, second, zeros)
        read, memory = read + again, after + more
        if reach < length:
            later, memory = self._attend(q[:, reach:], k[:, reach:], v[:, reach:], memory)
            read = torch.cat([read, later], 1)
        return self._answer(read), (memory, start + length)

    def _attend(self, q: Tensor, k: Tensor, v: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        kept = torch.zeros(1, q.shape[1], self.heads, dtype=q.dtype, device=q.device)
        return in_full(linear_attention, q, k, v, kept, memory)

    def initial_state(self, batch: int) -> State:
        memory = self.zeros(batch, self.heads, self.mapped, self.head_size + 1)
        return memory, self.counters(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        memory, position = state
        q, keys, values = self._split(x)
        within = (position < self.prefix).to(keys.dtype)
        keys = keys * torch.stack([torch.ones_like(within), within])[..., None, None]
        memory = memory + torch.einsum("nbhf,nbhv->bhfv", keys, values)
        return self._answer(torch.einsum("bhf,bhfv->bhv", q, memory)), (memory, position + 1)
