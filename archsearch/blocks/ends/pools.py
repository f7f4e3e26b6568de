"""How one vector per sequence is read off its time steps, at once or in a stream.

A pool has ``forward(h, lengths) -> (batch, width)`` for h (batch, time, width) with lengths
(batch,) or None, and ``start(h_t) -> state``, ``step(h_t, state) -> (pooled so far, state)`` for
h_t (batch, width). Steps beyond a sequence's length count for nothing.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn

State: TypeAlias = tuple[Tensor, ...]


class Last(nn.Module):
    """The last real time step."""

    def forward(self, h: Tensor, lengths: Tensor | None) -> Tensor:
        if lengths is None:
            return h[:, -1]
        rows = torch.arange(h.shape[0], device=h.device)
        return h[rows, lengths - 1]

    # the other pools take their shape from it
    def start(self, like: Tensor) -> State:
        return ()

    def step(self, h_t: Tensor, state: State) -> tuple[Tensor, State]:
        return h_t, state


class Mean(nn.Module):
    """The mean over real time steps."""

    def forward(self, h: Tensor, lengths: Tensor | None) -> Tensor:
        if lengths is None:
            return h.mean(dim=1)
        return only_real(h, lengths).sum(dim=1) / lengths.unsqueeze(-1)

    def start(self, like: Tensor) -> State:
        # a sum in half precision stops growing after a few hundred steps
        wide = torch.promote_types(like.dtype, torch.float32)
        total = torch.zeros_like(like, dtype=wide)
        return total, total.new_zeros(like.shape[0], 1)

    def step(self, h_t: Tensor, state: State) -> tuple[Tensor, State]:
        total, count = state[0] + h_t, state[1] + 1
        return (total / count).to(h_t.dtype), (total, count)


class Max(nn.Module):
    """The largest value of each channel over real time steps."""

    def forward(self, h: Tensor, lengths: Tensor | None) -> Tensor:
        if lengths is not None:
            mask = real_steps(lengths, h.shape[1])
            h = h.masked_fill(~mask.unsqueeze(-1), -torch.inf)
        return h.amax(dim=1)

    def start(self, like: Tensor) -> State:
        return (torch.full_like(like, -torch.inf),)

    def step(self, h_t: Tensor, state: State) -> tuple[Tensor, State]:
        largest = torch.maximum(state[0], h_t)
        return largest, (largest,)


class KMax(nn.Module):
    """The mean of the largest few values of each channel (Kalchbrenner et al. 2014)."""

    MOST = 4

    def forward(self, h: Tensor, lengths: Tensor | None) -> Tensor:
        if lengths is not None:
            mask = real_steps(lengths, h.shape[1])
            h = h.masked_fill(~mask.unsqueeze(-1), -torch.inf)
        return self._mean(h.topk(min(self.MOST, h.shape[1]), dim=1).values)

    def start(self, like: Tensor) -> State:
        return (like.new_full((len(like), self.MOST, like.shape[1]), -torch.inf),)

    def step(self, h_t: Tensor, state: State) -> tuple[Tensor, State]:
        largest = torch.cat([state[0], h_t.unsqueeze(1)], 1).topk(self.MOST, dim=1).values
        return self._mean(largest), (largest,)

    def _mean(self, largest: Tensor) -> Tensor:
        """Over those there are; a short sequence has fewer."""
        there = largest > -torch.inf
        return largest.where(there, 0.0).sum(1) / there.sum(1)


class Attended(nn.Module):
    """The steps weighted by a softmax of how well they fit a learned query, in each of four heads.

    The query starts at zero, where it is the mean. A width that four does not divide has one head.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        heads = 1 if width % 4 else 4
        self.query = nn.Parameter(torch.zeros(heads, width // heads))

    def forward(self, h: Tensor, lengths: Tensor | None) -> Tensor:
        h = h if lengths is None else only_real(h, lengths)
        parts = h.unflatten(-1, self.query.shape)  # (batch, time, heads, size)
        scores = self._scores(parts)
        if lengths is not None:
            mask = real_steps(lengths, h.shape[1])
            scores = scores.masked_fill(~mask.unsqueeze(-1), -torch.inf)
        return (parts * scores.softmax(1).unsqueeze(-1)).sum(1).flatten(1)

    def start(self, like: Tensor) -> State:
        heads = len(self.query)
        total = torch.zeros_like(like).unflatten(-1, self.query.shape)
        return (
            like.new_full((len(like), heads), -torch.inf),
            like.new_zeros(len(like), heads),
            total,
        )

    def step(self, h_t: Tensor, state: State) -> tuple[Tensor, State]:
        best, weight, total = state
        part = h_t.unflatten(-1, self.query.shape)
        score = self._scores(part)  # (batch, heads)
        highest = torch.maximum(best, score)
        kept, new = torch.exp(best - highest), torch.exp(score - highest)
        weight = weight * kept + new
        total = total * kept.unsqueeze(-1) + part * new.unsqueeze(-1)
        return (total / weight.unsqueeze(-1)).flatten(1), (highest, weight, total)

    def _scores(self, parts: Tensor) -> Tensor:
        return (parts * self.query).sum(-1) * self.query.shape[1] ** -0.5


def open_pool(name: str, width: int) -> nn.Module:
    """The pool of that name for (batch, time, width)."""
    return Attended(width) if name == "attention" else POOLS[name]()


POOLS = {"last": Last, "mean": Mean, "max": Max, "kmax": KMax}


def real_steps(lengths: Tensor, time: int) -> Tensor:
    """True where a step is inside its sequence, (batch, time)."""
    return torch.arange(time, device=lengths.device) < lengths.unsqueeze(-1)


def only_real(h: Tensor, lengths: Tensor) -> Tensor:
    """h (batch, time, width), zero beyond the lengths, where it may even be no number."""
    return h.masked_fill(~real_steps(lengths, h.shape[1]).unsqueeze(-1), 0)
