"""Attention for patterns whose keys differ from query to query: stretch after stretch of queries.

Each stretch meets, in one masked product, only the keys that any of its queries looks at. ``q``,
``k`` and ``v`` are (B, H, T, d) from the sequence's first position on, and ``slopes`` (H,) lowers a
score by a slope per step of distance.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from archsearch.cells.attention.patterns import seen, summaries

STRETCH = 256  # queries, at least


def fixed_attention(q: Tensor, k: Tensor, v: Tensor, stride: int, slopes: Tensor | None) -> Tensor:
    """Each query over its block of ``stride`` so far and the last positions of all blocks before.

    Those last ones are :func:`archsearch.cells.attention.patterns.summaries` in number.
    """
    length = q.shape[2]
    stretch = stride * max(STRETCH // stride, 1)
    place = torch.arange(length, device=q.device)
    ends = place[place % stride >= stride - summaries(stride)]
    far_k, far_v = k[:, :, ends], v[:, :, ends]
    found = []
    for begin in range(0, length, stretch):
        own = slice(begin, begin + stretch)
        before = begin // stride * summaries(stride)
        keys = torch.cat([far_k[:, :, :before], k[:, :, own]], 2)
        values = torch.cat([far_v[:, :, :before], v[:, :, own]], 2)
        i, j = place[own, None], torch.cat([ends[:before], place[own]])
        mask = _lowered(seen("fixed", i, j, 0, stride), i - j, slopes, q)
        found.append(scaled_dot_product_attention(q[:, :, own], keys, values, attn_mask=mask))
    return torch.cat(found, 2)


def blocks_attention(
    q: Tensor, k: Tensor, v: Tensor, chosen: Tensor, block: int, slopes: Tensor | None
) -> Tensor:
    """Each head over the blocks of ``block`` distances that it has ``chosen`` (H, N).

    The last of the N blocks holds all distances beyond.
    """
    length, last = q.shape[2], chosen.shape[1] - 1
    stretch = max(STRETCH, block)
    far = torch.arange(length, device=q.device)
    looked = chosen[:, (far // block).clamp_max(last)]  # (H, T), by distance
    lowered = torch.zeros_like(q[0, :, :, 0]) if slopes is None else slopes[:, None] * -far
    # in front, the negative distances of keys after a query
    bias = pad(lowered.to(q.dtype).masked_fill(~looked, -math.inf), (stretch, 0), value=-math.inf)
    below = pad(looked.cumsum(1), (1, 0))
    heads = []
    for head in range(q.shape[1]):
        found = []
        for begin in range(0, length, stretch):
            end = min(begin + stretch, length)
            # the keys before ``end``, the nearest first, by the distance of the last query
            farthest = far[:end]
            nearest = (farthest - (end - 1 - begin)).clamp_min(0)
            used = below[head, farthest + 1] > below[head, nearest]
            mask = _by_distance(bias[head], begin, end, stretch)[:, used]
            keys = end - 1 - farthest[used]
            query, key, value = q[:, head, begin:end], k[:, head, keys], v[:, head, keys]
            found.append(scaled_dot_product_attention(query, key, value, attn_mask=mask))
        heads.append(torch.cat(found, 1))
    return torch.stack(heads, 1)


def _by_distance(bias: Tensor, begin: int, end: int, stretch: int) -> Tensor:
    """The ``bias`` (S + T,) of distances from -S on, for queries and keys from the end: (I, J)."""
    # query begin + i and key end - 1 - j are begin - end + 1 + i + j apart: a sum, so a view
    offset = bias.storage_offset() + stretch + begin - end + 1
    return bias.as_strided((end - begin, end), (1, 1), offset)


def _lowered(allowed: Tensor, distance: Tensor, slopes: Tensor | None, like: Tensor) -> Tensor:
    """A mask, (I, J), or the scores' slopes with what is hidden, (H, I, J)."""
    if slopes is None:
        return allowed
    return torch.where(allowed, slopes.to(like.dtype)[:, None, None] * -distance, -math.inf)
