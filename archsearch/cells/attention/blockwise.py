"""Attention within blocks of a sequence, and from one place of all blocks to the same.

In both functions ``q``, ``k`` and ``v`` are (B, H, T, d) from the sequence's first position on, and
``slopes`` (H,) lowers a score by a slope per step of distance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention


def chunked_attention(q: Tensor, k: Tensor, v: Tensor, size: int, slopes: Tensor | None) -> Tensor:
    """Each query over the positions so far of its chunk of ``size``."""
    length = q.shape[2]
    parts = [_blocks(part, size) for part in (q, k, v)]
    if slopes is None:
        out = scaled_dot_product_attention(*parts, is_causal=True)
    else:
        place = torch.arange(size, device=q.device)
        out = scaled_dot_product_attention(*parts, attn_mask=_lowered(place, place, slopes, q))
    return out.flatten(2, 3)[:, :, :length]


def strided_attention(
    q: Tensor, k: Tensor, v: Tensor, stride: int, slopes: Tensor | None
) -> Tensor:
    """Each query over the last ``stride`` positions and every ``stride``-th before."""
    length = q.shape[2]
    q, k, v = (_blocks(part, stride) for part in (q, k, v))  # (B, H, n, stride, d)
    scale, blocks = q.shape[-1] ** -0.5, q.shape[2]
    place = torch.arange(stride, device=q.device)
    # the block itself and the one before hold the last positions of all its queries
    pairs = [torch.cat([pad(part, (0, 0, 0, 0, 1, -1)), part], 3) for part in (k, v)]
    both = torch.cat([place - stride, place])
    apart = place[:, None] - both
    near = q @ pairs[0].mT * scale + _distances(place, both, slopes, q)
    begun = torch.arange(blocks, device=q.device)[:, None, None] * stride + both >= 0
    near = near.masked_fill(~((apart >= 0) & (apart < stride) & begun), -math.inf)
    # the same place of every block, block after block
    q_at, k_at, v_at = (part.transpose(2, 3) for part in (q, k, v))  # (B, H, stride, n, d)
    number = torch.arange(blocks, device=q.device)
    far = q_at @ k_at.mT * scale + _distances(stride * number, stride * number, slopes, q)
    far = far.masked_fill(number[:, None] <= number, -math.inf).transpose(2, 3)
    weights = torch.cat([near, far], -1).softmax(-1)  # (B, H, n, stride, 2 stride + n)
    of_near, of_far = weights.split([2 * stride, blocks], -1)
    out = of_near @ pairs[1] + (of_far.transpose(2, 3) @ v_at).transpose(2, 3)
    return out.flatten(2, 3)[:, :, :length]


def _blocks(part: Tensor, size: int) -> Tensor:
    """(B, H, T, d) as (B, H, n, size, d), the end filled up."""
    missing = -part.shape[2] % size
    return pad(part, (0, 0, 0, missing)).unflatten(2, (-1, size))


def _distances(i: Tensor, j: Tensor, slopes: Tensor | None, like: Tensor) -> Tensor:
    """What the slopes take from a score, (H, 1, I, J) or a zero."""
    if slopes is None:
        return like.new_zeros(1, 1, 1, 1)
    return slopes.to(like.dtype)[:, None, None, None] * (j - i[:, None])


def _lowered(i: Tensor, j: Tensor, slopes: Tensor | None, like: Tensor) -> Tensor:
    """The same, and no key after the query."""
    hidden = like.new_zeros(len(i), len(j)).masked_fill(i[:, None] < j, -math.inf)
    return _distances(i, j, slopes, like) + hidden
