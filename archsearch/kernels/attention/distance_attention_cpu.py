"""Attention over given distances trained on one core of a CPU, in one loop forward and one back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archsearch.kernels.attention.distance_attention import distance_attention as accelerated_form
from archsearch.kernels.attention.distance_attention_loops import backward, forward
from archsearch.kernels.trained import SINGLE, arrays, fit, once_differentiable, trained

plain: Any = accelerated_form.plain  # type: ignore[attr-defined]


def distance_attention(
    q: Tensor, k: Tensor, v: Tensor, added: Tensor, rectify: bool, distances: tuple[int, ...]
) -> Tensor:
    """See :func:`archsearch.kernels.attention.distance_attention.distance_attention`.

    Torch does what is only evaluated, recorded, or in another precision.
    """
    given = q, k, v, added
    if not trained(given, SINGLE) or not fit("bhtd bhsd bhsd hn", *given):
        return plain(*given, rectify, distances)  # type: ignore[no-any-return]
    if added.shape[1] != len(distances) or q.shape[2] > k.shape[2]:
        return plain(*given, rectify, distances)  # type: ignore[no-any-return]
    far, kind = torch.tensor(distances, dtype=q.dtype), torch.full((1,), rectify, dtype=q.dtype)
    return _Attention.apply(q, k, v, added, kind, far)  # type: ignore[no-any-return]


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, added: Tensor, kind: Tensor, distances: Tensor
    ) -> Tensor:
        queries, keys, values = (part.flatten(0, 1) for part in (q, k, v))
        of_rows = added.repeat(q.shape[0], 1)
        out = queries.new_zeros(queries.shape)
        kept = queries.new_zeros(*queries.shape[:2], len(distances))
        forward(*arrays(queries, keys, values, of_rows, kind, distances, out, kept))
        ctx.save_for_backward(q, k, v, kind, distances, kept)
        return out.view(q.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, kind, distances, kept = ctx.saved_tensors
        flat = [part.flatten(0, 1) for part in (dout, q, k, v)]
        slopes = [part.new_zeros(part.shape) for part in flat[1:]]
        dadded = kept.new_zeros(len(kept), len(distances))
        backward(*arrays(*flat, kind, distances, kept, *slopes, dadded))
        dq, dk, dv = (found.view(part.shape) for found, part in zip(slopes, (q, k, v), strict=True))
        return dq, dk, dv, dadded.view(*q.shape[:2], -1).sum(0), None, None
