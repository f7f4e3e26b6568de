"""Attention in stretches that keeps no weights: what training needs is computed again, in place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from archsearch.kernels.attention.stretch_attention import Look, distances
from archsearch.kernels.attention.stretch_attention import stretch_attention as accelerated_form
from archsearch.kernels.attention.stretch_attention_loops import exponentials
from archsearch.kernels.trained import arrays, fit, once_differentiable, trained

PAIRS = 2**17  # of queries and keys at a time, so that a processor's cache holds their scores

plain: Any = accelerated_form.plain  # type: ignore[attr-defined]


def stretch_attention(
    q: Tensor, k: Tensor, v: Tensor, added: Tensor | None, rectify: bool, stretch: int, look: Look
) -> Tensor:
    """See :func:`archsearch.kernels.attention.stretch_attention.stretch_attention`.

    What is only evaluated, or recorded, is left to the plain form.
    """
    given = (q, k, v) if added is None else (q, k, v, added)
    letters = "ntd ntd ntd" if added is None else "ntd ntd ntd nt"
    if not trained(given, (torch.float32, torch.float64)) or not fit(letters, *given):
        return plain(q, k, v, added, rectify, stretch, look)  # type: ignore[no-any-return]
    return _Attention.apply(q, k, v, added, rectify, stretch, look)  # type: ignore[no-any-return]


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        added: Tensor | None,
        rectify: bool,
        stretch: int,
        look: Look,
    ) -> Tensor:
        q, k, v = q * q.shape[2] ** -0.5, k.contiguous(), v.contiguous()
        out, sums, few = torch.empty_like(q), q.new_zeros(*q.shape[:2], 1), _Scratch(q)
        for rows, own, keys, scores in _stretches(q, k, added, stretch, look):
            if rectify:
                weights = scores.relu_()
            else:
                highest = scores.amax(-1, keepdim=True)
                weights = _exponentials(scores, highest)
                total = weights.sum(-1, keepdim=True)
                sums[rows, own] = highest + total.log()
            answer = weights @ few.taken(v[rows], keys)
            out[rows, own] = answer if rectify else answer / total
        ctx.save_for_backward(q, k, v, added, out, sums)
        ctx.rectify, ctx.stretch, ctx.look = rectify, stretch, look
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, added, out, sums = ctx.saved_tensors
        dout = dout.contiguous()
        # with positions last, where adding to some of them is faster
        dq, turned = torch.empty_like(q), (k.shape[0], k.shape[2], k.shape[1])
        dk, dv = k.new_zeros(turned), v.new_zeros(turned)
        dadded = torch.zeros_like(added) if ctx.needs_input_grad[3] else None
        mean = (dout * out).sum(-1, keepdim=True)
        few, pairs, long = _Scratch(q), _Scratch(q), _Scratch(q)
        for rows, own, keys, scores in _stretches(q, k, added, ctx.stretch, ctx.look):
            given = dout[rows, own]
            slopes = pairs.product(given, few.taken(v[rows], keys).mT)
            if ctx.rectify:
                weights = scores.relu_()
                slopes.mul_(weights.sign())
            else:
                weights = _exponentials(scores, sums[rows, own])
                slopes.sub_(mean[rows, own]).mul_(weights)
            dv[rows].index_add_(2, keys, long.product(given.mT, weights))
            dk[rows].index_add_(2, keys, long.product(q[rows, own].mT, slopes))
            dq[rows, own] = slopes @ few.taken(k[rows], keys)
            if dadded is not None:
                far = distances(own.start, own.stop, keys).flatten()
                dadded[rows].index_add_(1, far, slopes.flatten(1))
        return dq.mul_(q.shape[2] ** -0.5), dk.mT, dv.mT, dadded, None, None, None


def _exponentials(scores: Tensor, highest: Tensor) -> Tensor:
    """exp(s - h) in the place of ``scores``."""
    if scores.dtype != torch.float32:
        return scores.sub_(highest).exp_()
    exponentials(*arrays(scores.flatten(0, 1), highest.flatten()))
    return scores


class _Scratch:
    """Memory for one intermediate result after the other."""

    def __init__(self, like: Tensor) -> None:
        self.memory = like.new_empty(0)

    def product(self, a: Tensor, b: Tensor) -> Tensor:
        return torch.bmm(a, b, out=self._of(a.shape[0], a.shape[1], b.shape[2]))

    def taken(self, part: Tensor, keys: Tensor) -> Tensor:
        """Of ``part`` (N, T, d) what stands at ``keys`` (n,)."""
        return torch.index_select(
            part, 1, keys, out=self._of(part.shape[0], len(keys), part.shape[2])
        )

    def _of(self, *shape: int) -> Tensor:
        size = math.prod(shape)
        if size > len(self.memory):
            self.memory = self.memory.new_empty(size)
        return self.memory[:size].view(shape)


def _stretches(
    q: Tensor, k: Tensor, added: Tensor | None, stretch: int, look: Look
) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
    """Rows and queries of each stretch, its keys (n,), and scores (rows, T, n) until the next.

    ``q`` is divided by sqrt(d) already.
    """
    few, pairs = _Scratch(q), _Scratch(q)
    # the longest first, for which there is memory to be had once
    for begin in reversed(range(0, q.shape[1], stretch)):
        own = slice(begin, min(begin + stretch, q.shape[1]))
        keys, hidden = look(own.start, own.stop)
        together = max(PAIRS // (stretch * len(keys)), 1)
        for first in range(0, len(q), together):
            rows = slice(first, first + together)
            scores = pairs.product(q[rows, own], few.taken(k[rows], keys).mT)
            if added is not None:
                scores += added[rows][:, distances(own.start, own.stop, keys)]
            scores[..., len(keys) - hidden.shape[1] :].masked_fill_(hidden, -math.inf)
            yield rows, own, keys, scores
