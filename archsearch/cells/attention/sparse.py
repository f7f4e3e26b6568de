"""Attention over few of the earlier positions, at a cost that grows with those few.

In all functions ``q`` is (B, H, T, d) and ``k``, ``v`` (B, H, S, d), the last T keys being at
the queries' own positions. ``bias`` is added to scores by the distance of the key, and ``rectify``
puts relu in place of softmax.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from archsearch.cells.attention.distance_bias import Bias, masked
from archsearch.cells.attention.normalisers import answers
from archsearch.kernels.attention.distance_attention import distance_attention

BLOCK = 32  # queries that share one stretch of keys


def window_attention(
    q: Tensor, k: Tensor, v: Tensor, window: int, bias: Bias | None, rectify: bool
) -> Tensor:
    """Each query over its own and the ``window`` - 1 positions before, in blocks of queries."""
    rows, length = q.shape[0], q.shape[2]
    size = max(BLOCK, window)
    blocks = -(-length // size)
    missing = blocks * size - length
    # key 0 of the first stretch stands ``window`` positions before query 0
    absent = window - (k.shape[2] - length)
    begin = max(-absent, 0)
    k, v = (pad(part[:, :, begin:], (0, 0, max(absent, 0), missing)) for part in (k, v))
    queries = pad(q, (0, 0, 0, missing)).unflatten(2, (blocks, size)).transpose(1, 2).flatten(0, 1)
    # (B, H, n, d, size + window) as (B n, H, size + window, d)
    keys, values = (
        part.unfold(2, size + window, size).permute(0, 2, 1, 4, 3).flatten(0, 1) for part in (k, v)
    )
    place = torch.arange(size + window, device=q.device)
    distance = torch.arange(window, window + size, device=q.device)[:, None] - place
    seen = (distance >= 0) & (distance < window)  # (size, size + window)
    first = seen & (place >= absent)
    allowed = torch.stack([first] + [seen] * (blocks - 1))[:, None]  # (n, 1, size, size + window)
    mask = masked(allowed, distance.clamp_max(window - 1), bias)
    out = answers(queries, keys, values, mask.repeat(rows, 1, 1, 1), rectify)
    return out.unflatten(0, (rows, blocks)).transpose(1, 2).flatten(2, 3)[:, :, :length]


def power_attention(q: Tensor, k: Tensor, v: Tensor, bias: Bias | None, rectify: bool) -> Tensor:
    """Each query over its own position and those a power of two before it."""
    distances = (0, *(2**power for power in range((k.shape[2] - 1).bit_length())))
    return distance_attention(q, k, v, _added(distances, bias, q), rectify, distances)


def dilated_attention(
    q: Tensor, k: Tensor, v: Tensor, window: int, stride: int, bias: Bias | None, rectify: bool
) -> Tensor:
    """Each query over its own position and those at ``window`` - 1 multiples of the stride."""
    distances = tuple(range(0, min(window * stride, k.shape[2]), stride))
    return distance_attention(q, k, v, _added(distances, bias, q), rectify, distances)


def sampled_attention(q: Tensor, k: Tensor, v: Tensor, chosen: Tensor, bias: Tensor) -> Tensor:
    """Each query over the ``chosen`` keys (n,) and its own, in blocks of queries.

    ``bias`` (B or 1, H or 1, T, n + 1) is added to the scores, the last column to one's own.
    """
    rows, length = q.shape[0], q.shape[2]
    size = min(BLOCK, length)
    missing = -length % size

    def blocks(part: Tensor) -> Tensor:
        """(B, H, T, .) as (B, blocks, H, size, .); what is filled up sees everything."""
        return pad(part, (0, 0, 0, missing)).unflatten(2, (-1, size)).transpose(1, 2)

    def with_own(part: Tensor) -> Tensor:
        own = blocks(part[:, :, part.shape[2] - length :])
        shared = part[:, None, :, chosen].expand(-1, own.shape[1], -1, -1, -1)
        return torch.cat([shared, own], 3).flatten(0, 1)

    bias = blocks(bias)
    itself = torch.eye(size, dtype=torch.bool, device=q.device)
    own = torch.where(itself, bias[..., -1:], -math.inf)
    bias = torch.cat([bias[..., :-1], own], -1).expand(rows, -1, -1, -1, -1).flatten(0, 1)
    queries = blocks(q)
    out = scaled_dot_product_attention(
        queries.flatten(0, 1), with_own(k), with_own(v), attn_mask=bias
    )
    return out.unflatten(0, queries.shape[:2]).transpose(1, 2).flatten(2, 3)[:, :, :length]


def _added(distances: tuple[int, ...], bias: Bias | None, q: Tensor) -> Tensor:
    """(H, n)."""
    if bias is None:
        return q.new_zeros(q.shape[1], len(distances))
    return bias(torch.tensor(distances, device=q.device)).to(q.dtype)
