"""Normalisation across the width, ``Norm(width)``; statistics in single precision or better."""

from __future__ import annotations

from torch import Tensor, nn

from archsearch.kernels.norms.gated_norm import gated_norm

EPSILON = 1e-6


class RMSNorm(nn.RMSNorm):
    """x / sqrt(mean x^2 + 1e-6) times a learned scale (arXiv 1910.07467, equation 4)."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return gated_norm(x.unsqueeze(-2), self.weight, None, EPSILON)


class LayerNorm(nn.LayerNorm):
    """(x - mean) / sqrt(variance + 1e-5) times a learned scale plus a shift (arXiv 1607.06450)."""

    def __init__(self, width: int) -> None:
        super().__init__(width, eps=1e-5)
