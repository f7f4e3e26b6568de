"""Numbers of several types, brought to one before an operation that takes one only."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor


def one_type(*parts: Tensor) -> tuple[Tensor, ...]:
    """The parts as they promote, unless they are of one type or autocast chooses it."""
    if _alike(parts) or torch.is_autocast_enabled(parts[0].device.type):
        return parts
    return _promoted(parts)


def mix(share: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """share one + (1 - share) other, in the type that they promote to: autocast leaves it open."""
    parts = share, one, other
    share, one, other = parts if _alike(parts) else _promoted(parts)
    return torch.lerp(other, one, share)


def _alike(parts: tuple[Tensor, ...]) -> bool:
    kind = parts[0].dtype
    return all(part.dtype == kind for part in parts)


def _promoted(parts: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    kind = reduce(torch.promote_types, (part.dtype for part in parts))
    return tuple(part.to(kind) for part in parts)
