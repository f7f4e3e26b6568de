"""Rotary positions: pairs of features turned by an angle that grows with the position."""

from __future__ import annotations

import torch
from torch import Tensor

from archsearch.kernels.attention.causal_attention import rotated


def rotate(x: Tensor, positions: Tensor) -> Tensor:
    """Turns feature pair (2j, 2j + 1) of position p by the angle p 10000^(-2j / d).

    ``x`` is (B, T, H, d) with d even, ``positions`` (B or 1, T). Products of two rotated vectors
    depend on the difference of their positions only (Su et al. 2021, arXiv 2104.09864).
    """
    return rotated(x, turns(positions, x.shape[-1], x.dtype))


def turns(positions: Tensor, size: int, dtype: torch.dtype) -> Tensor:
    """The turns of ``size`` features as complex numbers of size one, (..., size / 2)."""
    pairs = size // 2
    # angles in double: the position times the rate, long after a float would have lost digits
    rates = 10000.0 ** (-torch.arange(pairs, device=positions.device, dtype=torch.float64) / pairs)
    angles = positions[..., None] * rates
    kind = torch.complex128 if dtype == torch.float64 else torch.complex64
    return torch.polar(torch.ones_like(angles), angles).to(kind)
