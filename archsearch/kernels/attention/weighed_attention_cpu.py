"""Attention in stretches that keeps no weights: each stretch is met again on the way back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archsearch.kernels.attention.weighed_attention import marked, met, stretches
from archsearch.kernels.attention.weighed_attention import weighed_attention as accelerated_form
from archsearch.kernels.trained import once_differentiable, trained

KEPT = 512  # queries, of so few that to meet them again costs more than their weights take
NATIVE = (torch.float32, torch.float64)
plain: Any = accelerated_form.plain  # type: ignore[attr-defined]


def weighed_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    added: Tensor | None,
    there: Tensor,
    kind: str,
    window: int | None,
) -> Tensor:
    """See :func:`archsearch.kernels.attention.weighed_attention.weighed_attention`."""
    given = (q, k, v) if added is None else (q, k, v, added)
    if q.shape[1] <= KEPT or not trained(given, NATIVE):
        return plain(q, k, v, added, there, kind, window)  # type: ignore[no-any-return]
    return _Attention.apply(q, k, v, added, there, kind, window)  # type: ignore[no-any-return]


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        added: Tensor | None,
        there: Tensor,
        kind: str,
        window: int | None,
    ) -> Tensor:
        ctx.save_for_backward(q, k, v, added, there)
        ctx.kind, ctx.window = kind, window
        return plain(q, k, v, added, there, kind, window)  # type: ignore[no-any-return]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, added, there = ctx.saved_tensors
        dq, dk, dv = torch.empty_like(q), torch.zeros_like(k), torch.zeros_like(v)
        dadded = None if added is None else torch.zeros_like(added)
        k, v = marked(k, v)
        for own, seen, at in stretches(q, k, ctx.window):
            parts = [q[:, own], k[:, seen], v[:, seen], *([] if added is None else [added])]
            parts = [part.detach().requires_grad_() for part in parts]
            bias = None if added is None else parts[3]
            with torch.enable_grad():
                found = met(*parts[:3], bias, there[:, seen], ctx.kind, at)
            slopes = torch.autograd.grad(found, parts, dout[:, own])
            dq[:, own] = slopes[0]
            dk[:, seen] += slopes[1]
            dv[:, seen] += slopes[2]
            if dadded is not None:
                dadded += slopes[3]
        return dq, dk, dv, dadded, None, None, None
