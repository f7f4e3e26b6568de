"""Activations with parameters, or that look at all features: ``Activation(units, **options)``."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-6


class Swish(nn.Module):
    """x sigmoid(b x), one learned b per unit that starts at ``beta``.

    Ramachandran, Zoph & Le 2017, arXiv 1710.05941, section 5. With b = 1 silu, with b = 2 APTx
    (arXiv 2209.06119) at its defaults, with a large b relu.
    """

    def __init__(self, units: int, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.full((units,), beta))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.beta * x)


class SmeLU(nn.Module):
    """0 up to -b, x from b on, a parabola (x + b)^2 / (4 b) between.

    Shamir & Lin 2020, arXiv 2010.09931, equation 3; ``beta`` is b.
    """

    def __init__(self, units: int, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        bend = (x.clamp(-self.beta, self.beta) + self.beta).square() / (4 * self.beta)
        return bend + functional.relu(x - self.beta)


class GeneralSmeLU(nn.Module):
    """Slope ``below`` up to -b, 1 from b on, a parabola between; f(-b) = -b below.

    Shamir & Lin 2020, arXiv 2010.09931, equation 5, with both ends of the bend at ``beta``.
    """

    def __init__(self, units: int, beta: float = 0.1, below: float = 0.01) -> None:
        super().__init__()
        self.beta, self.below = beta, below

    def forward(self, x: Tensor) -> Tensor:
        b, low = self.beta, self.below
        inside = x.clamp(-b, b)
        # the slope rises from low to 1 along the bend
        bend = low * inside + (1 - low) * (inside + b).square() / (4 * b)
        return bend + low * (x + b).clamp(max=0) + (x - b).clamp(min=0)


class VeLU(nn.Module):
    """l x sigmoid(alpha (atan x + asin 0.7 x)) (1 + 0.1 tanh(0.9 r)), r = 1 / rms(x).

    Shakarami 2025, arXiv 2504.15051, as its published code has it, with the constants of its
    figure; the arcsine is cut off before its slope has no bound. l is learned and starts at 1, and
    the features of one position see each other through r.
    """

    CUT = 0.999

    def __init__(self, units: int, alpha: float = 2.0) -> None:
        super().__init__()
        self.alpha = alpha
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        inverse = torch.rsqrt(_widened(x).square().mean(-1, keepdim=True) + EPSILON).to(x.dtype)
        adapted = 1 + 0.1 * torch.tanh(0.9 * inverse)
        # the cut is one in half precision
        arcsine = torch.asin((0.7 * _widened(x)).clamp(-self.CUT, self.CUT)).to(x.dtype)
        mixed = torch.atan(x) + arcsine
        return self.scale * x * torch.sigmoid(self.alpha * mixed) * adapted


class PolyReLU(nn.Module):
    """a_0 + a_1 r + a_2 r^2 + a_3 r^3 with r = max(0, x); a_0 starts at 0, the others at 1/3.

    Zhuo et al. 2024, arXiv 2411.03884, equation 3. In single precision or better.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        self.coefficients = nn.Parameter(torch.tensor([0.0, 1 / 3, 1 / 3, 1 / 3]))

    def forward(self, x: Tensor) -> Tensor:
        a = _widened(self.coefficients)
        r = functional.relu(_widened(x))
        return (a[0] + r * (a[1] + r * (a[2] + r * a[3]))).to(x.dtype)


class PolyNorm(nn.Module):
    """a_0 + sum of a_i x^i / rms(x^i) for i up to 3, the root mean square over the features.

    Zhuo et al. 2024, arXiv 2411.03884, equation 4; a as in PolyReLU. In single precision or better.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        self.coefficients = nn.Parameter(torch.tensor([0.0, 1 / 3, 1 / 3, 1 / 3]))

    def forward(self, x: Tensor) -> Tensor:
        a, wide = _widened(self.coefficients), _widened(x)
        y = a[0]
        for power in (1, 2, 3):
            raised = wide**power
            y = y + a[power] * raised * torch.rsqrt(
                raised.square().mean(-1, keepdim=True) + EPSILON
            )
        return y.to(x.dtype)


class StochasticReLU(nn.Module):
    """x above zero; below it silu with probability ``share`` in training, else 0, per element.

    Lomeli et al. 2025, arXiv 2509.22358, figure 1. ``evaluated`` says what stands below zero once
    trained: relu nothing, silu all of it, mean its expectation.
    """

    def __init__(self, units: int, share: float = 0.7, evaluated: str = "relu") -> None:
        super().__init__()
        self.share = share
        self.evaluated = {"relu": 0.0, "silu": 1.0, "mean": share}[evaluated]

    def forward(self, x: Tensor) -> Tensor:
        below = functional.silu(x)
        if self.training:
            below = below * torch.empty_like(x).bernoulli_(self.share)
        else:
            below = below * self.evaluated
        return torch.where(x > 0, x, below)


def _widened(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
