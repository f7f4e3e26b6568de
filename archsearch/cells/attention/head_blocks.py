"""Which distances each head looks at: all of them, until it was seen which ones it uses."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

FARTHEST = 64  # blocks of distances told apart; the last holds all that lie beyond


class HeadBlocks(nn.Module):
    """Counts how much weight a head gives to each block of distances, then keeps the heaviest.

    For the first ``dense`` calls in training every block is seen. Then each head keeps the share
    ``select`` of the blocks that ever had weight, those of most weight and always that of distance
    zero, for good (after Wang et al. 2025, arXiv 2509.24014, section 3: there blocks of keys, after
    a share of the denoising steps of one sequence; here distances, so that a pattern fits every
    sequence and its end needs not be known). All is held in buffers and saved with the weights.
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

    def forward(self, distance: Tensor) -> Tensor:
        """Whether each head looks that far back, (H, T, S) for distances (T, S)."""
        return self.chosen[:, self._block(distance)]

    @torch.no_grad()
    def watch(self, weights: Tensor, distance: Tensor) -> None:
        """One more call, with weights (B, H, T, S); the last one decides."""
        mean = weights.detach().sum(0).flatten(1) / (weights.shape[0] * weights.shape[2])
        self.weight.index_add_(1, self._block(distance).flatten(), mean.to(self.weight.dtype))
        self.calls += 1
        if int(self.calls) == self.dense:
            self.chosen.copy_(heaviest(self.weight, self.select))

    def _block(self, distance: Tensor) -> Tensor:
        return (distance.clamp_min(0) // self.block).clamp_max(FARTHEST - 1)


def heaviest(weight: Tensor, select: float) -> Tensor:
    """The first block and those of most weight (H, N): a share of all that have any."""
    used = int((weight > 0).any(0).sum())
    ranked = weight.clone()
    ranked[:, 0] = torch.inf
    best = ranked.topk(max(math.ceil(select * used), 1), dim=1).indices
    return torch.zeros_like(weight, dtype=torch.bool).scatter(1, best, True)
