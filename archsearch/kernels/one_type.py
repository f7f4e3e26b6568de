"""Numbers of several types, brought to one before matrices of them are multiplied."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor


def one_type(*parts: Tensor) -> tuple[Tensor, ...]:
    """The parts as they promote, unless they are of one type or autocast chooses it."""
    kind = parts[0].dtype
    alike = all(part.dtype == kind for part in parts)
    if alike or torch.is_autocast_enabled(parts[0].device.type):
        return parts
    kind = reduce(torch.promote_types, (part.dtype for part in parts))
    return tuple(part.to(kind) for part in parts)
