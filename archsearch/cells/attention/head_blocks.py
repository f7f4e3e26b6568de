"""Which blocks of keys each head looks at: all of them, until it was seen which ones it uses."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from archsearch.kernels.attention.stretch_attention import Look

FARTHEST = 64  # blocks back that are told apart; the last holds all that lie beyond


class HeadBlocks(nn.Module):
    """Counts how much weight a head gives to blocks of keys, then keeps the heaviest.

    Positions go by blocks of ``block``. For the first ``dense`` calls in training every block of
    keys is seen. Then each head keeps the share ``select`` of them that ever had weight, those of
    most weight and always that of the query itself, for good (after Wang et al. 2025, arXiv
    2509.24014, section 3: there for each block of queries, after a share of the denoising steps of
    one sequence; here by how many blocks a key stands before its query, so that a pattern fits
    every sequence and its end needs not be known). Blocks of keys are seen whole, up to the query.
    All is held in buffers and saved with the weights.
    """

    def __init__(self, heads: int, block: int, select: float, dense: int) -> None:
        super().__init__()
        self.block, self.select, self.dense = block, select, dense
        self.register_buffer("weight", torch.zeros(heads, FARTHEST))
        self.register_buffer("calls", torch.zeros(1, dtype=torch.long))
        self.register_buffer("chosen", torch.ones(heads, FARTHEST, dtype=torch.bool))

    @property
    def watching(self) -> bool:
        # what is computed again for its gradient must meet the pattern that it met at first
        return self.training and torch.is_grad_enabled() and int(self.calls) < self.dense

    def forward(self, i: Tensor, j: Tensor) -> Tensor:
        """Whether each head looks from positions i (B, 1, T, 1) at j (B, 1, T or 1, S) before them.

        (B, H, T, S); B may be 1. What it says of later positions is for others to hide.
        """
        return self.chosen[:, self._back(i, j)[:, 0]].transpose(0, 1)

    def look(self, head: int) -> Look:
        """The keys of stretches of queries from the sequence's first position on."""
        chosen, block, device = self.chosen[head].clone(), self.block, self.chosen.device
        inside = torch.arange(block, device=device)

        def keys_of(begin: int, end: int) -> tuple[Tensor, Tensor]:
            first, last = begin // block, (end - 1) // block
            number = torch.arange(last + 1, device=device)
            i = torch.arange(begin, end, device=device)[:, None]
            if first == last:
                used = number[chosen[(first - number).clamp_max_(FARTHEST - 1)]]
                keys = (used[:, None] * block + inside).flatten()
                return keys[: len(keys) + end - (last + 1) * block], i < i.T
            back = number[first:, None] - number
            seen = chosen[back.clamp(0, FARTHEST - 1)] & (back >= 0)
            # first the blocks that all of the stretch sees
            whole = seen.all(0) & (number < first)
            used = torch.cat([number[whole], number[seen.any(0) & ~whole]])
            keys = (used[:, None] * block + inside).flatten()
            keys = keys[: len(keys) + end - (last + 1) * block]
            some = keys[int(whole.sum()) * block :]
            return keys, ~seen[i // block - first, some // block] | (i < some)

        return keys_of

    def count(self, i: Tensor) -> Tensor:
        """How many positions each head sees from positions i (T,), (H, T)."""
        whole = self.chosen[:, 1:].cumsum(1) * self.block
        whole = torch.cat([torch.zeros_like(whole[:, :1]), whole], 1)  # by blocks before
        before = i // self.block
        beyond = (before - (FARTHEST - 1)).clamp_min(0) * self.block
        seen = whole[:, before.clamp_max(FARTHEST - 1)] + beyond * self.chosen[:, -1:]
        return seen + i % self.block + 1

    @torch.no_grad()
    def watch(self, weights: Tensor, i: Tensor, j: Tensor) -> None:
        """One more call, with weights (B, H, T, S) as in :meth:`forward`; the last one decides."""
        weights, back = weights.detach(), self._back(i, j)
        mean = weights.sum(0, keepdim=True) if len(back) == 1 else weights
        mean = mean / (len(weights) * weights.shape[2])
        back = back.expand(-1, -1, *weights.shape[2:]).flatten()
        by_head = mean.transpose(0, 1).flatten(1).to(self.weight.dtype)
        self.weight.index_add_(1, back, by_head)
        self.calls += 1
        if int(self.calls) == self.dense:
            self.chosen.copy_(heaviest(self.weight, self.select))

    def _back(self, i: Tensor, j: Tensor) -> Tensor:
        return (i // self.block - j // self.block).clamp(0, FARTHEST - 1)


def heaviest(weight: Tensor, select: float) -> Tensor:
    """The first block and those of most weight (H, N): a share of all that have any."""
    used = int((weight > 0).any(0).sum())
    ranked = weight.clone()
    ranked[:, 0] = torch.inf
    best = ranked.topk(max(math.ceil(select * used), 1), dim=1).indices
    return torch.zeros_like(weight, dtype=torch.bool).scatter(1, best, True)
