"""From the width of the network to what a task asks for."""

from __future__ import annotations

from typing import Literal, TypeAlias

from torch import Tensor, nn

from archsearch.blocks.pools import open_pool
from archsearch.spec.signature import Signature

State: TypeAlias = tuple[Tensor, ...]


class LinearHead(nn.Module):
    """A linear map per step, or of the pooled steps where a sequence has one target.

    ``pool`` is unused with a target at every step; the prediction of a stream is then that of its
    latest step, else that of everything seen so far.
    """

    def __init__(
        self,
        signature: Signature,
        width: int,
        pool: Literal["last", "mean", "max", "kmax", "attention"] = "last",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.pool = None if signature.every_step else open_pool(pool, width)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(width, signature.outputs)

    def forward(self, h: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(batch, time, width) to (batch, outputs), or (batch, time, outputs) at every step."""
        pooled = h if self.pool is None else self.pool(h, lengths)
        return self.project(self.dropout(pooled))

    def initial_state(self, batch: int) -> State:
        if self.pool is None:
            return ()
        return self.pool.start(self.project.weight.new_zeros(batch, self.project.in_features))

    def step(self, h_t: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, width) to (batch, outputs)."""
        if self.pool is not None:
            h_t, state = self.pool.step(h_t, state)
        return self.project(self.dropout(h_t)), state
