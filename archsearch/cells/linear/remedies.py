"""What keeps a matrix memory from overflowing far beyond the lengths it was trained on.

A memory that never had to forget while it was trained grows without bound on longer sequences
(Chen et al. 2024, arXiv 2410.07145, sections 3 and 4). None of these needs training.
"""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import pad

BLOCK = 32  # queries, at least, that share one stretch of keys


# the last positions, oldest first: keys (B, r, N), values (B, r, H, P) and factors (B, r, H)
Seen: TypeAlias = tuple[Tensor, Tensor, Tensor]


def clipped(memory: Tensor, largest: float, here: Tensor | None = None) -> Tensor:
    """Each head's (B, H, N, P) scaled down to the norm ``largest``, or that of rows ``here``."""
    norm = torch.linalg.vector_norm(memory, dim=(-2, -1), keepdim=True)
    bounded = memory * (largest / norm.clamp_min(largest))
    return bounded if here is None else torch.where(here[:, None, None, None], bounded, memory)


def last_positions(q: Tensor, k: Tensor, v: Tensor, factor: Tensor, seen: Seen) -> Tensor:
    """r_t = sum over the last r + 1 positions s of (q_t . k_s) f_{s+1} ... f_t v_s.

    Of the memory S_t = f_t S_{t-1} + k_t v_t' it is S_t - f_{t-r} ... f_t S_{t-r-1} read by q_t,
    without the difference of two large memories. ``q``, ``k`` are (B, T, N),
    ``v`` (B, T, H, P), ``factor`` (B, T, H) nowhere zero; returns (B, T, H, P).
    """
    old_k, old_v, old_factor = seen
    length, back = q.shape[1], old_k.shape[1]
    size = min(max(BLOCK, back), length)
    missing = -length % size

    def stretches(old: Tensor, new: Tensor, last: float = 0.0) -> Tensor:
        """(B, n, ..., size + back), filled up with ``last``."""
        where = (0, 0) * (new.ndim - 2) + (0, missing)
        filled = pad(torch.cat([old, new], 1), where, value=last)
        return filled.unfold(1, size + back, size)

    queries = pad(q, (0, 0, 0, missing)).unflatten(1, (-1, size))
    products = queries @ stretches(old_k, k)  # (B, n, size, size + back)
    factors = stretches(old_factor, factor, 1.0)  # (B, n, H, size + back)
    between = _between(factors, size)  # (B, n, H, size, size + back)
    out = (products[:, :, None] * between) @ stretches(old_v, v).mT
    return out.transpose(2, 3).flatten(1, 2)[:, :length]


def _between(factors: Tensor, size: int) -> Tensor:
    """The product of the factors after a key up to a query, zero outside the query's window."""
    total = factors.shape[-1]
    # sums of many logarithms, whose differences are small
    fallen = factors.abs().double().log().cumsum(-1)
    signs = torch.where(factors < 0, -1.0, 1.0).to(factors.dtype).cumprod(-1)
    place = torch.arange(total, device=factors.device)
    far = place[total - size :, None] - place
    inside = (far >= 0) & (far <= total - size)
    apart = fallen[..., total - size :, None] - fallen[..., None, :]
    kept = apart.masked_fill(~inside, -torch.inf).to(factors.dtype).exp()
    return kept * signs[..., total - size :, None] * signs[..., None, :]


def followed(seen: Seen, k: Tensor, v: Tensor, factor: Tensor) -> Seen:
    """The last positions once these have been added."""
    k, v, factor = (torch.cat(pair, 1) for pair in zip(seen, (k, v, factor), strict=True))
    length, back = k.shape[1], seen[0].shape[1]
    return k[:, length - back :], v[:, length - back :], factor[:, length - back :]
