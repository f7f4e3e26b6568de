"""Prefix linear attention."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import elu, pad, relu

from archsearch.cells.cell import Cell, State, split_width
from archsearch.cells.linear.gates import in_full
from archsearch.kernels.memories.pair_products import pair_products
from archsearch.kernels.memories.taylor.taylor_attention import (
    parted,
    quotient,
    summed_twice,
    taylor_attention,
)
from archsearch.kernels.one_type import one_type
from archsearch.kernels.projections.projected import projected, untouched
from archsearch.kernels.projections.projection import projection


def shifted_elu(x: Tensor) -> Tensor:
    return elu(x) + 1


def squared_relu(x: Tensor) -> Tensor:
    return relu(x) ** 2


FEATURES: dict[str, Callable[[Tensor], Tensor]] = {
    "taylor": pair_products,
    "elu": shifted_elu,
    "relu2": squared_relu,
}


class PrefixAttention(Cell):
    """o_i = f(q_i)' S_i / (f(q_i) . z_i), per head, f positive.

    S_i and z_i sum f(k_j) v_j' and f(k_j) over j <= i, and once more f(k'_j) v'_j' and f(k'_j)
    over j <= i of the first ``prefix`` positions: those are written twice, by keys and values of
    their own (Arora et al. 2024, arXiv 2407.05483, section 4). There, a position of the prefix
    sees all of it; here it sees what came before, so that the cell can stream. Behind the prefix
    both agree. A ``prefix`` of none leaves linear attention (with taylor that of Arora et al. 2024,
    arXiv 2402.18668). q and k are scaled by the fourth root of their size, y_t = W_o o_t. State:
    [S, z] (B, H, F, V + 1), with F the size of f, and the position of each row (B,).
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
        self.map, self.taylor = FEATURES[features], features == "taylor"
        self.mapped = len(self.map(torch.zeros(feature_size)))
        keys, kinds = heads * feature_size, 2 if prefix else 1
        # queries, keys and the prefix's keys, values and the prefix's values
        self.parts = [keys] * (1 + kinds) + [width] * kinds
        self.project = nn.Linear(width, sum(self.parts), bias=False)
        self.output = nn.Linear(width, width, bias=False)

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q (..., H, F), then k (2, ..., H, F) and [v, 1] (2, ..., H, V + 1), of all and prefix."""
        parts = projected(self.project, x).split(self.parts, -1)
        q, *others = (part.unflatten(-1, (self.heads, -1)) for part in parts)
        keys, values = others[: len(others) // 2], others[len(others) // 2 :]
        keys = [self._mapped(part) for part in keys]
        return self._mapped(q), torch.stack(keys), pad(torch.stack(values), (0, 1), value=1.0)

    def _mapped(self, x: Tensor) -> Tensor:
        return self.map(x * self.feature_size**-0.25)

    def _mixed(self, x: Tensor, reach: int) -> tuple[Tensor, Tensor]:
        """Queries, keys and values, and the prefix's keys and values of ``reach`` positions."""
        if not self.prefix:
            mixed = projected(self.project, x)
            return mixed, mixed.new_zeros(len(x), reach, sum(self.parts[1:]))
        if untouched(self.project):
            q, k, first, v, second = self.project.weight.split(self.parts)
            mixed = projection(x, torch.cat([q, k, v]), None)
            return mixed, projection(x[:, :reach], torch.cat([first, second]), None)
        q, k, first, v, second = self.project(x).split(self.parts, -1)
        return torch.cat([q, k, v], -1), torch.cat([first, second], -1)[:, :reach]

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        memory, start = self.initial_state(len(x)) if state is None else state
        length = x.shape[1]
        # with a state, rows may stand anywhere
        reach = length if state is not None else min(length, self.prefix)
        if not self.prefix:
            reach = 1  # one position, of which nothing is written
        twice = (self.prefix - start).clamp(0, reach)  # positions written twice (B,)
        mixed, own = self._mixed(x, reach)
        if self.taylor:
            read, memory = in_full(taylor_attention, mixed, own, twice, memory)
        else:
            q, k, v, first, second = parted(mixed, own, memory)
            q, k, first = map(self._mapped, (q, k, first))
            within = torch.arange(reach, device=x.device) < twice[:, None]
            first = first * within[..., None, None]
            v, second = (pad(part, (0, 1), value=1.0) for part in (v, second))
            found, memory = in_full(summed_twice, q, k, v, first, second, memory)
            read = quotient(found)
        return projected(self.output, read.flatten(-2).to(x.dtype)), (memory, start + length)

    def initial_state(self, batch: int) -> State:
        memory = self.zeros(batch, self.heads, self.mapped, self.head_size + 1)
        return memory, self.counters(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        memory, position = state
        q, keys, values = self._split(x)
        within = (position < self.prefix).to(keys.dtype)
        counts = torch.stack([torch.ones_like(within), within])[: len(keys)]
        keys = keys * counts[..., None, None]
        q, keys, values, memory = one_type(q, keys, values, memory)
        memory = memory + torch.einsum("nbhf,nbhv->bhfv", keys, values)
        read = quotient(torch.einsum("bhf,bhfv->bhv", q, memory))
        return projected(self.output, read.flatten(-2).to(x.dtype)), (memory, position + 1)
