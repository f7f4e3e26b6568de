"""Training-free rearrangement of a mask (Zhang et al. 2023, Dynamic Sparse No Training,
arXiv 2310.08915)."""

from __future__ import annotations

import torch
from torch import Tensor

CYCLES, ENOUGH = 50, 0.1


def rearranged(
    weight: Tensor, mask: Tensor, score: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    """The mask (rows, columns) with weights swapped in each row to mend its mean output.

    What is pruned takes e = sum W_j E[x_j] from a row's mean output. In turns, the pruned weight
    whose return lowers |e| the most for its input's variance comes back, and the kept one of the
    lowest ``score`` whose loss lowers |e| too goes, until |e| is small, has changed its sign, or
    nothing is left to swap. As many weights stay as before.
    """
    mask = mask.clone()
    share = weight * mean  # what each weight adds to its row's mean output
    for row in range(len(weight)):
        _row(mask[row], share[row], score[row], variance[row])
    return mask


def _row(mask: Tensor, share: Tensor, score: Tensor, variance: Tensor) -> None:
    missing = float(share[~mask].sum())
    sign = 1.0 if missing > 0 else -1.0
    for _ in range(CYCLES):
        if abs(missing) <= ENOUGH or missing * sign <= 0:
            return
        gain = (sign * share / variance.clamp_min(1e-12)).masked_fill(mask, -torch.inf)
        back = int(gain.argmax())
        # a kept weight that pulled the other way; one that just came back stays
        loss = score.masked_fill(~mask | (sign * share >= 0), torch.inf)
        gone = int(loss.argmin())
        if not torch.isfinite(gain[back]) or gain[back] <= 0 or not torch.isfinite(loss[gone]):
            return
        after = missing - float(share[back]) + float(share[gone])
        if after * sign < 0:
            return
        mask[back], mask[gone] = True, False
        missing = after
