"""Thresholded and clipped activations that leave a chosen share of units at zero.

Price, Adlam & Tanner 2024, arXiv 2402.16184. Without the clip the variance of deep layers grows
without bound; with it a variance of 1 stays, as long as weights and biases have the variances
that :func:`constants` gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor, nn

NORMAL = NormalDist()


@dataclass(frozen=True)
class Constants:
    """Threshold and clip, and the variances of weights (times the inputs) and biases."""

    threshold: float
    clip: float
    weight_variance: float
    bias_variance: float


def constants(sparsity: float, contraction: float, sides: int = 1) -> Constants:
    """Those at the edge of chaos for pre-activations of variance 1 (section 3 of the paper).

    ``sparsity`` is the share of zeros, ``contraction`` the slope of the variance map at its fixed
    point: 0.5 is safest, towards 1 more is expressed. ``sides`` is 2 where both signs pass.
    """
    threshold = NORMAL.inv_cdf(sparsity if sides == 1 else (1 + sparsity) / 2)
    low, high = 1e-6, 12.0
    for _ in range(80):
        clip = (low + high) / 2
        passed = NORMAL.cdf(threshold + clip) - NORMAL.cdf(threshold)
        if 1 - clip * NORMAL.pdf(threshold + clip) / passed < contraction:
            low = clip
        else:
            high = clip
    top = threshold + clip
    # of (z - threshold)^2 between the threshold and the clip, and of clip^2 beyond
    second = (1 + threshold**2) * passed - top * NORMAL.pdf(top) + threshold * NORMAL.pdf(threshold)
    second += 2 * threshold * (NORMAL.pdf(top) - NORMAL.pdf(threshold))
    second += clip**2 * (1 - NORMAL.cdf(top))
    return Constants(threshold, clip, 1 / (sides * passed), 1 - second / passed)


class ClippedReLU(nn.Module):
    """min(max(x - t, 0), m), with t and m for a share of zeros (CReLU of arXiv 2402.16184)."""

    SIDES = 1

    def __init__(self, units: int, sparsity: float = 0.7, contraction: float = 0.7) -> None:
        super().__init__()
        self.constants = constants(sparsity, contraction, self.SIDES)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.constants.threshold).clamp(0, self.constants.clip)

    def prepare(self, linear: nn.Linear) -> None:
        """Start the map before it so that, with inputs of variance 1, what comes has it too."""
        of_bias = self.constants.bias_variance
        nn.init.normal_(linear.weight, std=((1 - of_bias) / linear.in_features) ** 0.5)
        nn.init.normal_(linear.bias, std=of_bias**0.5)


class ClippedShrink(ClippedReLU):
    """sign(x) min(max(|x| - t, 0), m): both signs pass (CST of arXiv 2402.16184)."""

    SIDES = 2

    def forward(self, x: Tensor) -> Tensor:
        return torch.sign(x) * super().forward(x.abs())
