"""Rotary positions: pairs of features turned by an angle that grows with the position."""

from __future__ import annotations

import torch
from torch import Tensor


def rotate(x: Tensor, positions: Tensor) -> Tensor:
    """Turns feature pair (2j, 2j + 1) of position p by the angle p 10000^(-2j / d).

    ``x`` is (B, T, H, d) with d even, ``positions`` (B or 1, T). Products of two rotated vectors
    depend on the difference of their positions only (Su et al. 2021, arXiv 2104.09864).
    """
    pairs = x.shape[-1] // 2
    # angles in double: the position times the rate, long after a float would have lost digits
    rates = 10000.0 ** (-torch.arange(pairs, device=x.device, dtype=torch.float64) / pairs)
    angles = positions[..., None, None] * rates  # (B, T, 1, pairs)
    turns = torch.polar(torch.ones_like(angles), angles)
    kind = torch.complex128 if x.dtype == torch.float64 else torch.complex64
    planes = torch.view_as_complex(x.unflatten(-1, (pairs, 2)))
    return torch.view_as_real(planes * turns.to(kind)).flatten(-2)
