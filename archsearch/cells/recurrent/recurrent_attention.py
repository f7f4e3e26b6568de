"""Attention with a recurrent cell inside."""

from __future__ import annotations

from torch import Tensor

from archsearch.cells.attention.attention import Attention
from archsearch.cells.cell import Cell, State
from archsearch.cells.recurrent.bidirectional import INNER


class RecurrentAttention(Cell):
    """y = attention(core(x)), or core(attention(x)) with ``place`` "after".

    Before, queries, keys and values are projections of the outputs of the recurrent ``core``;
    after, the core reads what attention found. Nothing goes around the core: a path around the
    whole is the gate's affair. Attention sees all positions (Vaswani et al. 2017, arXiv
    1706.03762), the core is a cell of that name with its defaults.

    It is here so that a claim can be put to the test: Heidenreich et al. 2024, arXiv 2410.02654,
    find that recurrence in a Transformer makes its forecasts worse. Where they put it, they do not
    say in detail; these two places are ours.

    State: the core's and the attention's, which grows with the sequence.
    """

    def __init__(
        self,
        width: int,
        core: str = "gru",
        place: str = "before",
        heads: int = 4,
        positions: str = "rope",
    ) -> None:
        super().__init__(width)
        self.core = INNER[core](width)
        self.attention = Attention(width, heads=heads, positions=positions)
        self.after = place == "after"

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        inner, seen = (None, None) if state is None else state
        if self.after:
            x, seen = self.attention(x, seen)
        x, inner = self.core(x, inner)
        if not self.after:
            x, seen = self.attention(x, seen)
        return x, (inner, seen)

    def initial_state(self, batch: int) -> State:
        return self.core.initial_state(batch), self.attention.initial_state(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        inner, seen = state
        if self.after:
            x, seen = self.attention.step(x, seen)
        x, inner = self.core.step(x, inner)
        if not self.after:
            x, seen = self.attention.step(x, seen)
        return x, (inner, seen)
