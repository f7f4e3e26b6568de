"""What the gates and memories of linear recurrences share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")


def full(x: Tensor) -> Tensor:
    """``x`` in single precision at least; half precision rounds slow forgetting to none."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def spread(kept: Tensor, negative: bool) -> Tensor:
    """A share kept in (0, 1) as the factor of a state: itself, or stretched over (-1, 1).

    A negative factor lets a state change its sign, as counting modulo two needs (Grazzi et al.
    2024, arXiv 2411.12537).
    """
    return 2 * kept - 1 if negative else kept


def in_full(kernel: Callable[..., Result], *parts: Tensor) -> Result:
    """``kernel`` of the parts in single precision at least, whatever autocast would make of it.

    For memories whose errors multiply from step to step rather than add up.
    """
    with torch.autocast(parts[0].device.type, enabled=False):
        return kernel(*map(full, parts))
