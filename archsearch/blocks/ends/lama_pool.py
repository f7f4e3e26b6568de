"""Low-rank multi-head attention pooling (LAMA): several weighted means, one after the other."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn

from archsearch.blocks.ends.pools import only_real, real_steps

State: TypeAlias = tuple[Tensor, ...]


class Lama(nn.Module):
    """A h flattened, (batch, heads width), A = softmax over time of P' (U'h * V'c), per head.

    One learned vector c asks; U and V (width, rank) and P (rank, heads) make head m's score of a
    step h the bilinear form h' U diag(P_m) V' c (Mehta, Rangwala & Ramakrishnan 2019, arXiv
    1912.00835). ``rank`` is a share of the width. Where the paper asks heads to differ by a
    penalty, here they start apart. ``size`` is the width of what comes out.
    """

    def __init__(self, width: int, heads: int, rank: float) -> None:
        super().__init__()
        inner = max(round(width * rank), 1)
        self.size = heads * width
        self.context = nn.Parameter(torch.randn(width))
        self.of_step = nn.Parameter(torch.randn(width, inner) * width**-0.5)
        self.of_context = nn.Parameter(torch.randn(width, inner) * width**-0.5)
        self.mix = nn.Parameter(torch.randn(inner, heads) * inner**-0.5)

    def scores(self, h: Tensor) -> Tensor:
        """(..., heads) of steps (..., width)."""
        return (h @ self.of_step * (self.context @ self.of_context)) @ self.mix

    def forward(self, h: Tensor, lengths: Tensor | None) -> Tensor:
        h = h if lengths is None else only_real(h, lengths)
        scores = self.scores(h)  # (batch, time, heads)
        if lengths is not None:
            real = real_steps(lengths, h.shape[1])
            scores = scores.masked_fill(~real.unsqueeze(-1), -torch.inf)
        return (scores.softmax(1).mT @ h).flatten(1)

    def start(self, like: Tensor) -> State:
        heads = self.mix.shape[1]
        best = like.new_full((len(like), heads), -torch.inf)
        return best, torch.zeros_like(best), like.new_zeros(len(like), heads, like.shape[1])

    def step(self, h_t: Tensor, state: State) -> tuple[Tensor, State]:
        best, weight, total = state
        score = self.scores(h_t)  # (batch, heads)
        highest = torch.maximum(best, score)
        kept, new = torch.exp(best - highest), torch.exp(score - highest)
        weight = weight * kept + new
        total = total * kept.unsqueeze(-1) + h_t.unsqueeze(1) * new.unsqueeze(-1)
        return (total / weight.unsqueeze(-1)).flatten(1), (highest, weight, total)
