"""Gated recurrences whose units hear themselves only, over whole sequences.

Drives (B, T, 3 W) are B x_t of the three gates, one gate after the other; ``bias`` (3 W,) joins
them. States are (B, W), outputs (B, T, W).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from archsearch.kernels.choose import accelerated
from archsearch.kernels.scans.newton import newton_scan

# numbers per step and steps for which, among torch's operations, Newton's method is the faster way
SMALL, LONG = 512, 256


@accelerated(
    cpu="archsearch.kernels.recurrences.diagonal_cpu:diagonal_gru",
    cuda="archsearch.kernels.recurrences.diagonal_triton:diagonal_gru",
)
def diagonal_gru(drives: Tensor, bias: Tensor, a: Tensor, h: Tensor) -> Tensor:
    """All states of z, r = s(a h_{t-1} + drive + b), c = tanh(a_c (r h_{t-1}) + drive_c + b_c),
    h_t = (1 - z) h_{t-1} + z c (Danieli et al. 2025, arXiv 2510.21450); ``a`` is (3, W).

    The plain form solves few rows of long sequences by Newton's method, all else step by step.
    """
    driven = drives + bias
    if h.numel() <= SMALL and drives.shape[1] >= LONG:
        after, slope = partial(advance_gru, driven, a), partial(linearised_gru, driven, a)
        y = newton_scan(after, slope, h, drives.shape[1])
        if y is not None:
            return y
    states = []
    for drive in driven.unbind(1):
        h = advance_gru(drive, a, h)
        states.append(h)
    return torch.stack(states, 1)


@accelerated(
    cpu="archsearch.kernels.recurrences.diagonal_cpu:diagonal_lstm",
    cuda="archsearch.kernels.recurrences.diagonal_triton:diagonal_lstm",
)
def diagonal_lstm(
    drives: Tensor, bias: Tensor, weights: Tensor, h: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """All h_t, and the last c, of f = s(a_f h_{t-1} + p_f c_{t-1} + drive_f + b_f), z = tanh(a_z
    h_{t-1} + drive_z + b_z), c_t = f c_{t-1} + (1 - f) z, o = s(a_o h_{t-1} + p_o c_t + drive_o +
    b_o), h_t = o tanh(c_t) (as above); ``weights`` (5, W) are a_f, a_z, a_o, p_f and p_o.
    """
    states, parts = [], weights.unbind(0)
    for drive in (drives + bias).unbind(1):
        h, c = advance_lstm(drive, parts, h, c)
        states.append(h)
    return torch.stack(states, 1), c


def advance_gru(driven: Tensor, a: Tensor, h: Tensor) -> Tensor:
    """The next state, for any number of positions: driven (.., 3 W), a (3, W), h (.., W)."""
    of_z, of_r, of_c = driven.chunk(3, -1)
    z = torch.sigmoid(torch.addcmul(of_z, a[0], h))
    r = torch.sigmoid(torch.addcmul(of_r, a[1], h))
    c = torch.tanh(torch.addcmul(of_c, a[2], r * h))
    return torch.lerp(h, c, z)


def linearised_gru(driven: Tensor, a: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """The next state and its derivative by the state, element by element."""
    of_z, of_r, of_c = driven.chunk(3, -1)
    z, r = torch.sigmoid(of_z + a[0] * h), torch.sigmoid(of_r + a[1] * h)
    c = torch.tanh(of_c + a[2] * (r * h))
    by_z = (c - h) * z * (1 - z) * a[0]
    by_c = z * (1 - c * c) * a[2] * r * (1 + h * (1 - r) * a[1])
    return torch.lerp(h, c, z), 1 - z + by_z + by_c


def advance_lstm(
    driven: Tensor, weights: Sequence[Tensor], h: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """The next h and c; driven is (B, 3 W)."""
    a_f, a_z, a_o, p_f, p_o = weights
    f, z, o = driven.chunk(3, -1)
    f = torch.sigmoid(torch.addcmul(torch.addcmul(f, a_f, h), p_f, c))
    c = torch.lerp(torch.tanh(torch.addcmul(z, a_z, h)), c, f)
    o = torch.sigmoid(torch.addcmul(torch.addcmul(o, a_o, h), p_o, c))
    return o * torch.tanh(c), c


def made(bias: Tensor, weights: Tensor, count: int) -> bool:
    """Whether there are three gates, and so many weights of each unit."""
    return len(weights) == count and len(bias) == 3 * weights.shape[1]
