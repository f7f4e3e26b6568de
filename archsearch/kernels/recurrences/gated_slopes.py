"""What of the way back through gated recurrences all devices share: slopes of the parameters.

Arrays as in :mod:`archsearch.kernels.recurrences.gated`.
"""

from __future__ import annotations

import torch
from torch import Tensor


def of_matrix(h0: Tensor, y: Tensor, ddrives: Tensor) -> Tensor:
    """The gradient of (H, S, G S) from what every step saw and what came back to it."""
    before = torch.cat([h0[:, :, None], y[:, :, :-1]], 2).flatten(1, 2)
    return before.transpose(1, 2) @ ddrives.flatten(1, 2)


def of_peepholes(c0: Tensor, memory: Tensor, ddrives: Tensor, forget: str) -> Tensor:
    """The gradient of (3, H, S) from c of every step, ``memory`` (H, B, T, S)."""
    before = torch.cat([c0[:, :, None], memory[:, :, :-1]], 2)
    *of_gates, _, of_o = ddrives.split(c0.shape[-1], -1)
    slopes = memory.new_zeros(3, len(c0), c0.shape[-1])
    if forget != "coupled":
        slopes[0] = (of_gates[0] * before).sum((1, 2))
    if forget != "none":
        slopes[1] = (of_gates[-1] * before).sum((1, 2))
    slopes[2] = (of_o * memory).sum((1, 2))
    return slopes
