"""What followed alike places, trained on one core of a CPU, in one loop forward and one back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archsearch.kernels.memories.following import following as accelerated_following
from archsearch.kernels.memories.following_loops import backward, forward
from archsearch.kernels.trained import arrays, fit, once_differentiable, trained

NATIVE = (torch.float32, torch.float64)
plain: Any = accelerated_following.plain  # type: ignore[attr-defined]


def following(values: Tensor, grams: Tensor, length: int) -> Tensor:
    """See :func:`archsearch.kernels.memories.following.following`."""
    if not trained((values,), NATIVE) or not fit("bhsd bhs", values, grams):
        return plain(values, grams, length)  # type: ignore[no-any-return]
    if length > values.shape[2]:
        return plain(values, grams, length)  # type: ignore[no-any-return]
    return _Following.apply(values, grams, length)  # type: ignore[no-any-return]


def numbered(grams: Tensor) -> Tensor:
    """The different numbers of each row (N, S), counted from zero on; those below zero are -1."""
    ordered, order = grams.sort(-1)
    kinds = torch.zeros_like(grams)
    kinds[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]).cumsum(-1)
    return kinds.scatter(1, order, kinds).masked_fill(grams < 0, -1)


class _Following(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, grams: Tensor, length: int) -> Tensor:
        flat, kinds = values.flatten(0, 1), numbered(grams.flatten(0, 1))
        means = values.new_empty(len(flat), length, values.shape[3])
        parts = values.new_empty(len(flat), length)
        forward(*arrays(flat, kinds, means, parts))
        ctx.save_for_backward(kinds, parts)
        ctx.shape = values.shape
        return means.view(*values.shape[:2], length, -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dmeans: Tensor) -> tuple[Tensor, None, None]:
        kinds, parts = ctx.saved_tensors
        dvalues = dmeans.new_empty(ctx.shape)
        backward(*arrays(dmeans.flatten(0, 1), kinds, parts, dvalues.flatten(0, 1)))
        return dvalues, None, None
