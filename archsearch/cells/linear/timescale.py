"""Step sizes and rates as state space models start them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from archsearch.errors import ArchitectureError


def log_uniform(shape: tuple[int, ...], low: float, high: float) -> Tensor:
    """Logarithms of numbers between low and high, uniform in the logarithm."""
    if low > high:
        raise ArchitectureError(f"dt_min {low} is above dt_max {high}; lower dt_min")
    return math.log(low) + torch.rand(shape) * (math.log(high) - math.log(low))


def before_softplus(size: Tensor) -> Tensor:
    """The number whose softplus is ``size``."""
    return size + torch.log(-torch.expm1(-size))
