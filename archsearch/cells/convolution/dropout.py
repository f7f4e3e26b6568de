"""Dropout of whole channels, the same ones at every position of a sequence."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import dropout


def channel_mask(x: Tensor, share: float) -> Tensor:
    """(B, 1, W) for inputs (B, T, W): zero with probability ``share``, 1 / (1 - share) otherwise.

    Each row has its own (Tompson et al. 2015, arXiv 1411.4280; along time: Gal, Ghahramani 2016,
    arXiv 1512.05287).
    """
    # of the default precision, so that autocast draws what single precision would
    kept = torch.ones(len(x), 1, x.shape[-1], device=x.device)
    return dropout(kept, share).to(x.dtype)
