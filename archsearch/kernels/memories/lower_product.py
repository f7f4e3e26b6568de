"""What positions of a chunk find at those before them."""

from __future__ import annotations

import torch
from torch import Tensor


def lower_product(scores: Tensor, v: Tensor) -> Tensor:
    """The lower triangle of ``scores`` (.., C, C) times ``v`` (.., C, V).

    Nothing times a missing number is missing: here from where it stands on, but not before.
    """
    known, lost = torch.where(v.isfinite(), v, 0.0), (0 * v).cumsum(-2)
    return scores.tril() @ known + lost
