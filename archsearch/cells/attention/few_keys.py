"""Which way of execution a pattern has: over its own keys alone, where that is faster."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from archsearch.cells.attention.blockwise import chunked_attention, strided_attention
from archsearch.cells.attention.by_stretch import (
    STRETCH,
    fixed_attention,
    full_attention,
    head_blocks_attention,
)
from archsearch.cells.attention.distance_bias import Bias
from archsearch.cells.attention.head_blocks import HeadBlocks
from archsearch.cells.attention.sparse import (
    dilated_attention,
    power_attention,
    window_attention,
)

SPARSE_FROM = 48  # below about as many positions one masked product beats many small ones
STRETCHES_FROM = 4 * STRETCH  # the same for stretches


def over_few_keys(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    pattern: str,
    window: int,
    stride: int,
    blocks: HeadBlocks | None,
    bias: Bias | None,
    rectify: bool,
) -> Tensor | None:
    """softmax(s) v, or relu(s) v with ``rectify``, over the keys of a pattern; None where one
    masked product of all queries and keys does as well, or is the only way.

    ``q`` is (B, H, T, d) and ``k``, ``v`` (B, H, S, d), the last T keys being at the queries' own
    positions; ``bias`` is added to scores by the distance of the key.
    """
    length, whole = q.shape[2], k.shape[2] == q.shape[2]
    match pattern:
        case "window" if length > SPARSE_FROM + 2 * window:
            return window_attention(q, k, v, window, bias, rectify)
        case "power" if length > 2 * SPARSE_FROM:
            return power_attention(q, k, v, bias, rectify)
        case "dilated" if length > 2 * max(SPARSE_FROM, window):
            return dilated_attention(q, k, v, window, stride, bias, rectify)
        case "chunked" if whole and length > 4 * max(window, SPARSE_FROM // 2):
            return chunked_attention(q, k, v, window, bias, rectify)
        case "strided" if whole and length > 8 * max(stride, SPARSE_FROM):
            return strided_attention(q, k, v, stride, bias, rectify)
        case "fixed" if whole and length > STRETCHES_FROM:
            return fixed_attention(q, k, v, stride, bias, rectify)
        case "perhead" if whole and length > STRETCHES_FROM:
            assert blocks is not None
            return head_blocks_attention(q, k, v, blocks, bias, rectify)
        case "full" if whole and bias is None and not rectify:
            return scaled_dot_product_attention(q, k, v, is_causal=True)
        case "full" if whole and length > STRETCHES_FROM:
            return full_attention(q, k, v, bias, rectify)
    return None
