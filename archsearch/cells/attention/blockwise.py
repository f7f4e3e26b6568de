"""Attention within blocks of a sequence, and from one place of all blocks to the same.

In both functions ``q``, ``k`` and ``v`` are (B, H, T, d) from the sequence's first position on,
``bias`` is added to scores by the distance of the key, and ``rectify`` puts relu in place of
softmax.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.cells.attention.distance_bias import Bias, masked
from archsearch.cells.attention.normalisers import answers


def chunked_attention(
    q: Tensor, k: Tensor, v: Tensor, size: int, bias: Bias | None, rectify: bool
) -> Tensor:
    """Each query over the positions so far of its chunk of ``size``."""
    length = q.shape[2]
    # (B, n, H, size, d)
    parts = [_blocks(part, size).transpose(1, 2) for part in (q, k, v)]
    place = torch.arange(size, device=q.device)
    far = place[:, None] - place
    out = answers(*(part.flatten(0, 1) for part in parts), masked(far >= 0, far, bias), rectify)
    return out.unflatten(0, parts[0].shape[:2]).transpose(1, 2).flatten(2, 3)[:, :, :length]


def strided_attention(
    q: Tensor, k: Tensor, v: Tensor, stride: int, bias: Bias | None, rectify: bool
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
    begun = torch.arange(blocks, device=q.device)[:, None, None] * stride + both >= 0
    hidden = ~((apart >= 0) & (apart < stride) & begun)  # (n, stride, 2 stride)
    near = (q @ pairs[0].mT * scale + _added(apart, bias, q)).masked_fill(hidden, -math.inf)
    # the same place of every block, block after block
    q_at, k_at, v_at = (part.transpose(2, 3) for part in (q, k, v))  # (B, H, stride, n, d)
    number = torch.arange(blocks, device=q.device)
    apart = number[:, None] - number
    far = q_at @ k_at.mT * scale + _added(stride * apart, bias, q)
    far = far.masked_fill(apart <= 0, -math.inf).transpose(2, 3)
    scores = torch.cat([near, far], -1)  # (B, H, n, stride, 2 stride + n)
    weights = torch.relu(scores) if rectify else scores.softmax(-1)
    of_near, of_far = weights.split([2 * stride, blocks], -1)
    out = of_near @ pairs[1] + (of_far.transpose(2, 3) @ v_at).transpose(2, 3)
    return out.flatten(2, 3)[:, :, :length]


def _blocks(part: Tensor, size: int) -> Tensor:
    """(B, H, T, d) as (B, H, n, size, d), the end filled up."""
    missing = -part.shape[2] % size
    return pad(part, (0, 0, 0, missing)).unflatten(2, (-1, size))


def _added(distance: Tensor, bias: Bias | None, like: Tensor) -> Tensor:
    """(H, 1, I, J) for distances (I, J), or a zero."""
    if bias is None:
        return like.new_zeros(1, 1, 1, 1)
    return bias(distance.clamp_min(0))[:, None]
