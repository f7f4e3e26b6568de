"""Which earlier positions a position looks at."""

from __future__ import annotations

import torch
from torch import Tensor

# these ask where in the sequence a position stands, the others only how far back a key is
PLACED = ("fixed", "chunked", "perhead")


def seen(pattern: str, i: Tensor, j: Tensor, window: int, stride: int) -> Tensor:
    """Whether position i looks at position j, for whole numbers that broadcast; never for j > i.

    ``full`` and ``perhead``: always. ``window``: when i - j < window. ``dilated``: at multiples of
    the stride, ``window`` of them. ``power``: when i - j is 0 or a power of two, so that log2 n
    layers join n positions (arXiv 2503.03588, with blocks of one). ``chunked``: within chunks of
    ``window``. ``strided`` and ``fixed`` (Child et al. 2019, arXiv 1904.10509, section 4.2, both
    parts in every head): the last ``stride`` positions and every stride-th before; one's own block
    of ``stride``, and the last quarter of every block.
    """
    far = i - j
    match pattern:
        case "full" | "perhead":
            chosen = far >= 0
        case "window":
            chosen = far < window
        case "dilated":
            chosen = (far < window * stride) & (far % stride == 0)
        case "power":
            chosen = (far & (far - 1)) == 0
        case "chunked":
            chosen = i // window == j // window
        case "strided":
            chosen = (far < stride) | (far % stride == 0)
        case "fixed":
            chosen = (i // stride == j // stride) | (j % stride >= stride - summaries(stride))
        case _:
            raise ValueError(f"no such pattern: {pattern}")
    return chosen & (far >= 0)


def sight(i: Tensor, pattern: str, window: int, stride: int) -> Tensor:
    """How many positions :func:`seen` lets positions i look at, their own included."""
    match pattern:
        case "full":
            return i + 1
        case "window":
            return (i + 1).clamp_max(window)
        case "dilated":
            return (i // stride + 1).clamp_max(window)
        case "power":
            powers = 2 ** torch.arange(62, device=i.device)
            return 1 + (powers <= i[..., None]).sum(-1)
        case "chunked":
            return i % window + 1
        case "strided":
            return (i + 1).clamp_max(stride) + i // stride
        case "fixed":
            return i % stride + 1 + i // stride * summaries(stride)
        case _:
            raise ValueError(f"no such pattern: {pattern}")


def summaries(stride: int) -> int:
    """How many positions at the end of each block every later position of ``fixed`` looks at."""
    return max(1, stride // 4)


def reach(pattern: str, window: int, stride: int) -> int | None:
    """How many positions, its own included, a position can look back; None without a bound."""
    return {"window": window, "chunked": window, "dilated": (window - 1) * stride + 1}.get(pattern)
