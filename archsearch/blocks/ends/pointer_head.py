"""A head whose answers are positions of its input."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn

from archsearch.blocks.ends.pools import open_pool, real_steps
from archsearch.spec.signature import Signature

State: TypeAlias = tuple[Tensor, ...]
# no answer; the exponential of it is zero in every precision
FAR = -1e4


class PointerHead(nn.Module):
    """Class j is the j-th time step: its score is v tanh(W e_j + U d), e the steps, d what asks.

    Vinyals, Fortunato & Jaitly 2015, arXiv 1506.03134, without feeding answers back.
    Where one target per sequence is asked for, d is the pooled steps; else the step itself. Steps
    to come, and those beyond a sequence's length, score -10,000. ``glimpses`` times, d becomes the
    mean of the steps under the softmax of such a score with weights of its own, and ``clip``, where
    it is not 0, bounds the last score to clip tanh(..) (Bello et al. 2016, arXiv
    1611.09940). ``pool`` and ``dropout`` are as in the linear head.
    """

    def __init__(
        self,
        signature: Signature,
        width: int,
        glimpses: int = 0,
        clip: float = 0.0,
        pool: str = "last",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if signature.targets != "class":
            raise ValueError("a pointer head says positions, and this task asks for numbers")
        self.positions, self.width, self.clip = signature.outputs, width, clip
        self.pool = None if signature.every_step else open_pool(pool, width)
        self.dropout = nn.Dropout(dropout)
        self.scores = nn.ModuleList(Score(width) for _ in range(glimpses + 1))

    def forward(self, h: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(batch, time, width) to (batch, outputs), or (batch, time, outputs) at every step."""
        steps = torch.arange(min(h.shape[1], self.positions), device=h.device)
        if self.pool is None:
            asks, seen = h, steps <= torch.arange(h.shape[1], device=h.device).unsqueeze(-1)
            seen = seen.expand(len(h), -1, -1)
        else:
            asks, seen = self.pool(h, lengths).unsqueeze(1), torch.ones_like(steps).bool()
            if lengths is not None:
                seen = real_steps(lengths, h.shape[1])[:, : len(steps)]
            seen = seen.expand(len(h), -1).unsqueeze(1)
        found = self._point(h[:, : len(steps)], asks, seen)
        return found if self.pool is None else found.squeeze(1)

    def initial_state(self, batch: int) -> State:
        """The steps that may be pointed at, how many there are, and the state of the pool."""
        like: Tensor = self.scores[0].asking.weight.new_zeros(batch, self.width)
        pooled = () if self.pool is None else self.pool.start(like)
        kept = like.new_zeros(batch, self.positions, self.width)
        return kept, torch.zeros(batch, dtype=torch.int64, device=like.device), *pooled

    def step(self, h_t: Tensor, state: State) -> tuple[Tensor, State]:
        """(batch, width) to (batch, outputs)."""
        kept, count, *pooled = state
        steps = torch.arange(self.positions, device=h_t.device)
        here = steps == count.unsqueeze(-1)  # nowhere once all places are taken
        kept = torch.where(here.unsqueeze(-1), h_t.unsqueeze(1), kept)
        after: State = ()
        if self.pool is not None:
            h_t, after = self.pool.step(h_t, tuple(pooled))
        seen = (steps <= count.unsqueeze(-1)).unsqueeze(1)
        found = self._point(kept, h_t.unsqueeze(1), seen).squeeze(1)
        return found, (kept, count + 1, *after)

    def _point(self, e: Tensor, asks: Tensor, seen: Tensor) -> Tensor:
        """Scores (batch, asks, outputs) of the steps e (batch, steps, width) that each has seen."""
        e, asks = self.dropout(e), self.dropout(asks)
        *glimpses, last = self.scores
        for score in glimpses:
            asks = score(e, asks).masked_fill(~seen, FAR).softmax(-1) @ e
        scores = last(e, asks)
        if self.clip:
            scores = self.clip * torch.tanh(scores)
        scores = scores.masked_fill(~seen, FAR)
        return nn.functional.pad(scores, (0, self.positions - e.shape[1]), value=FAR)


class Score(nn.Module):
    """v tanh(W e_j + U d_i), (batch, asks, steps) of both e and d, (batch, .., width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.asked, self.asking = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, 1, bias=False)

    def forward(self, e: Tensor, d: Tensor) -> Tensor:
        both = self.asked(e).unsqueeze(-3) + self.asking(d).unsqueeze(-2)
        found: Tensor = self.value(torch.tanh(both)).squeeze(-1)
        return found
