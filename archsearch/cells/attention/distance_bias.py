"""What is added to a score for the distance of its key, as a function of distances."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

# (H, ...) for whole numbers (...) that are not negative
Bias: TypeAlias = Callable[[Tensor], Tensor]


def sloped(slopes: Tensor, dtype: torch.dtype) -> Bias:
    """Minus a slope (H,) per step of distance."""
    return lambda far: slopes.to(dtype)[(slice(None), *[None] * far.ndim)] * -far


def looked_up(table: Tensor) -> Bias:
    """From a table (H, N), all that lie beyond sharing its last entry."""
    return lambda far: table[:, far.clamp_max(table.shape[1] - 1)]


def masked(allowed: Tensor, distance: Tensor, bias: Bias | None) -> Tensor:
    """``allowed`` (.., I, J) itself, or what is added to scores (H, .., I, J) at these distances,
    minus infinity where it is not allowed."""
    if bias is None:
        return allowed
    return torch.where(allowed, bias(distance.clamp_min(0)), -math.inf)
