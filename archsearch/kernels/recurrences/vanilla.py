"""The simplest recurrence with a recurrent matrix, over a whole sequence."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from archsearch.kernels.choose import accelerated
from archsearch.kernels.one_type import mix

SLOPE = 0.1  # of a leaky ReLU below zero


def activated(drive: Tensor, activation: str) -> Tensor:
    """phi: "tanh", "relu", or "leaky_relu" of slope 0.1 below zero."""
    if activation == "leaky_relu":
        return F.leaky_relu(drive, SLOPE)
    return torch.tanh(drive) if activation == "tanh" else torch.relu(drive)


@accelerated(cuda="archsearch.kernels.recurrences.vanilla_triton:vanilla")
def vanilla(
    drives: Tensor, h: Tensor, matrix: Tensor, leak: Tensor | None, activation: str
) -> tuple[Tensor, Tensor]:
    """h_t = h_{t-1} + leak (phi(drive_t + U h_{t-1}) - h_{t-1}); without a leak phi alone.

    ``drives`` (T, B, W) are W x_t + b, ``matrix`` (W, W) is U transposed, ``leak`` (W,) or (1,).
    Returns all states (B, T, W) and the last. Where U has blocks, one per head (Elman 1990; heads
    as in arXiv 2412.07752), ``drives`` is (T, H, B, S), ``h`` (H, B, S), ``matrix`` (H, S, S) and
    the states are (H, B, T, S).
    """
    advance = torch.addmm if h.ndim == 2 else torch.baddbmm
    states = []
    for drive in drives.unbind(0):
        new = activated(advance(drive, h, matrix), activation)
        h = new if leak is None else mix(leak, new, h)
        states.append(h)
    return torch.stack(states, -2), h
