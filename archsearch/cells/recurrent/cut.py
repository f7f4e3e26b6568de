"""Recurrent matrices that hand no gradient back to the state they read."""

from __future__ import annotations

import torch
from torch import Tensor

from archsearch.errors import ArchitectureError


def read_before(h: Tensor, y: Tensor) -> Tensor:
    """h_{t-1} of every position, (B, T, W), as plain numbers, from h_0 (B, W) and all h_t.

    U reads these, so that U learns and what made them does not (the recurrent cut of FlashRNN,
    Poeppel et al. 2024, arXiv 2412.07752, and of xLSTM, arXiv 2405.04517). Since they are known
    once the sequence was run through, all positions can then be worked on as if U were none.
    """
    return torch.cat([h[:, None], y[:, :-1]], 1).detach()


def checked(cut: bool, *others: float) -> bool:
    """``cut``; raises ArchitectureError where an option beside which it cannot be is on."""
    if cut and any(others):
        raise ArchitectureError(
            "cut goes with no recurrent_dropout, zoneout or norm; set those to zero or cut to false"
        )
    return cut
