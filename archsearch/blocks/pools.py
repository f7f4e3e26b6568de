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
        mask = real_steps(lengths, h.shape[1])
        return (h * mask.unsqueeze(-1)).sum(dim=1) / lengths.unsqueeze(-1)

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


POOLS = {"last": Last, "mean": Mean, "max": Max}


def real_steps(lengths: Tensor, time: int) -> Tensor:
    """True where a step is inside its sequence, (batch, time)."""
    return torch.arange(time, device=lengths.device) < lengths.unsqueeze(-1)
