"""Attention for patterns whose keys differ from query to query: stretch after stretch of queries.

Each stretch meets only the keys that any of its queries looks at. ``q``, ``k`` and ``v`` are
(B, H, T, d) from the sequence's first position on, ``bias`` is added to scores by the distance of
the key, and ``rectify`` puts relu in place of softmax.
"""

from __future__ import annotations

import torch
from torch import Tensor

from archsearch.cells.attention.distance_bias import Bias
from archsearch.cells.attention.head_blocks import HeadBlocks
from archsearch.cells.attention.patterns import seen, summaries
from archsearch.kernels.attention.stretch_attention import Look, all_before, stretch_attention

STRETCH = 128  # queries


def full_attention(q: Tensor, k: Tensor, v: Tensor, bias: Bias | None, rectify: bool) -> Tensor:
    """Each query over all positions so far."""
    return _alike(q, k, v, bias, rectify, all_before(q.device))


def fixed_attention(
    q: Tensor, k: Tensor, v: Tensor, stride: int, bias: Bias | None, rectify: bool
) -> Tensor:
    """Each query over its block of ``stride`` so far and the last positions of all blocks before.

    Those last ones are :func:`archsearch.cells.attention.patterns.summaries` in number.
    """
    place = torch.arange(q.shape[2], device=q.device)
    ends = place[place % stride >= stride - summaries(stride)]

    def look(begin: int, end: int) -> tuple[Tensor, Tensor]:
        blocks = begin // stride
        near = place[blocks * stride : end]
        hidden = ~seen("fixed", place[begin:end, None], near, 0, stride)
        return torch.cat([ends[: blocks * summaries(stride)], near]), hidden

    return _alike(q, k, v, bias, rectify, look)


def head_blocks_attention(
    q: Tensor, k: Tensor, v: Tensor, blocks: HeadBlocks, bias: Bias | None, rectify: bool
) -> Tensor:
    """Each head over the blocks of keys that it has chosen."""
    added = _by_distance(q, bias)
    heads = [
        stretch_attention(
            *(part[:, head] for part in (q, k, v)),
            None if added is None else added[head].expand(len(q), -1),
            rectify,
            STRETCH,
            blocks.look(head),
        )
        for head in range(q.shape[1])
    ]
    return torch.stack(heads, 1)


def _alike(q: Tensor, k: Tensor, v: Tensor, bias: Bias | None, rectify: bool, look: Look) -> Tensor:
    """All heads over the same keys."""
    added = _by_distance(q, bias)
    added = None if added is None else added.repeat(len(q), 1)
    parts = (part.flatten(0, 1) for part in (q, k, v))
    return stretch_attention(*parts, added, rectify, STRETCH, look).view(q.shape)


def _by_distance(q: Tensor, bias: Bias | None) -> Tensor | None:
    """(H, T)."""
    return None if bias is None else bias(torch.arange(q.shape[2], device=q.device)).to(q.dtype)
