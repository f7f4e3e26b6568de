"""From the width of the network to what a task asks for."""

from __future__ import annotations

from typing import Literal, TypeAlias

from torch import Tensor, nn

from archsearch.blocks.ends.lama_pool import Lama
from archsearch.blocks.ends.pools import open_pool
from archsearch.spec.signature import Signature

State: TypeAlias = tuple[Tensor, ...]


class LinearHead(nn.Module):
    """A linear map per step, or of the pooled steps where a sequence has one target.

    ``pool`` is unused with a target at every step; the prediction of a stream is then that of its
    latest step, else that of everything seen so far. ``pool_heads`` and ``pool_rank`` are those of
    :class:`Lama`, which alone gives the linear map more to read than the width.
    """

    def __init__(
        self,
        signature: Signature,
        width: int,
        pool: Literal["last", "mean", "max", "kmax", "attention", "lama"] = "last",
        dropout: float = 0.0,
        pool_heads: int = 4,
        pool_rank: float = 0.25,
    ) -> None:
        super().__init__()
        self.width, read = width, width
        if signature.every_step:
            self.pool = None
        elif pool == "lama":
            self.pool = Lama(width, pool_heads, pool_rank)
            read = self.pool.size
        else:
            self.pool = open_pool(pool, width)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(read, signature.outputs)

    def forward(self, h: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(batch, time, width) to (batch, outputs), or (batch, time, outputs) at every step."""
        pooled = h if self.pool is None else self.pool(h, lengths)
        return self.project(self.dropout(pooled))

    def initial_state(self, batch: int) -> State:
        if self.pool is None:
            return ()
        return self.pool.start(self.project.weight.new_zeros(batch, self.width))

    def step(self, h_t: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, width) to (batch, outputs)."""
        if self.pool is not None:
            h_t, state = self.pool.step(h_t, state)
        return self.project(self.dropout(h_t)), state
