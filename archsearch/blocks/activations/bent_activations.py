"""Rectifiers with a smooth bend or with faults: two lines, and what lies between them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional


class ReSCU(nn.Module):
    """Slope ``below`` up to -left, slope ``above`` from right on, a bend between without a jump.

    The family of Shamir, Lin & Coviello 2020, arXiv 2010.09931: neither the value nor
    the slope jumps. Along the bend the slope goes from the one to the other as u, which makes
    the parabola of gSmeLU, or as 3 u^2 - 2 u^3, which makes the curvature smooth too; u rises from
    0 to 1. The line below passes through (0, ``lift``).
    """

    def __init__(
        self,
        units: int,
        left: float = 0.5,
        right: float = 0.5,
        below: float = 0.01,
        above: float = 1.0,
        lift: float = 0.0,
        bend: Literal["parabola", "smooth"] = "parabola",
    ) -> None:
        super().__init__()
        self.left, self.right, self.below, self.above = left, right, below, above
        self.lift, self.bend = lift, bend

    def forward(self, x: Tensor) -> Tensor:
        length = self.left + self.right
        u = (x.clamp(-self.left, self.right) + self.left) / length
        # the integral of the slope's rise
        risen = u.square() / 2 if self.bend == "parabola" else u**3 * (1 - u / 2)
        line = self.lift + self.below * x
        steeper = self.above - self.below
        return line + steeper * (length * risen + functional.relu(x - self.right))


class CircaReLU(nn.Module):
    """A rectifier that in training takes x for the other sign with probability 1 - |x| / reach.

    ``faults`` says which: ``pos_zero`` makes zeros of numbers above zero, ``neg_pass`` lets those
    below pass. Beyond ``reach`` there is none. It is what comparing truncated secret shares does
    (Ghodsi et al. 2021, arXiv 2106.08475). Once trained it is a rectifier, or with
    ``settled`` of ``mean`` what the faults make on average.
    """

    def __init__(
        self,
        units: int,
        reach: float = 0.5,
        faults: Literal["pos_zero", "neg_pass"] = "pos_zero",
        settled: Literal["relu", "mean"] = "relu",
    ) -> None:
        super().__init__()
        self.reach, self.faults, self.settled = reach, faults, settled

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and self.settled == "relu":
            return functional.relu(x)
        fault = (1 - x.abs() / self.reach).clamp(min=0)
        if self.training:
            fault = torch.bernoulli(fault.detach())
        if self.faults == "pos_zero":
            return functional.relu(x) * (1 - fault)
        return functional.relu(x) - functional.relu(-x) * fault
