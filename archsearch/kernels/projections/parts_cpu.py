"""A linear map in parts trained on one core of a CPU: each part in one piece, slopes included.

For as few inputs as cells have, loops that keep sums in registers are quicker than oneDNN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.projections import parts_loops
from archsearch.kernels.projections.parts import parts as accelerated_parts
from archsearch.kernels.trained import SINGLE, arrays, once_differentiable, trained

plain: Any = accelerated_parts.plain  # type: ignore[attr-defined]
# numbers of a weight that stay in the nearer cache
LARGEST = 1 << 16


def parts(x: Tensor, weight: Tensor, sizes: Sequence[int]) -> tuple[Tensor, ...]:
    """See :func:`archsearch.kernels.projections.parts.parts`."""
    inputs = x.shape[-1]
    whole = inputs % WIDTH == 0 and (x.numel() // inputs) % WIDTH == 0
    whole = whole and weight.ndim == 2 and weight.shape[1] == inputs
    if not whole or weight.numel() > LARGEST or not trained((x, weight), SINGLE):
        return plain(x, weight, sizes)  # type: ignore[no-any-return]
    return _Parts.apply(x, weight, tuple(sizes))  # type: ignore[no-any-return]


def forth(weight: Tensor) -> Tensor:
    """(O, I) as the loop forward reads it, with rows of zeros up to a multiple of ``WIDTH``."""
    return filled(weight).unflatten(0, (-1, WIDTH)).transpose(1, 2)


def back(weight: Tensor) -> Tensor:
    """The same as the loop backward reads it."""
    return filled(weight).unflatten(1, (-1, WIDTH)).transpose(0, 1)


class _Parts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, sizes: tuple[int, ...]) -> tuple[Tensor, ...]:
        rows = x.reshape(-1, x.shape[-1])
        found = []
        for size, own in zip(sizes, weight.split(sizes), strict=True):
            y = x.new_empty(len(rows), size + -size % WIDTH)
            parts_loops.forward(*arrays(rows, forth(own), y))
            found.append(y.view(*x.shape[:-1], -1)[..., :size])
        ctx.save_for_backward(rows, weight)
        ctx.sizes, ctx.shape = sizes, x.shape
        return tuple(found)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        dx, dweights = torch.zeros_like(rows), []
        for size, own, dy in zip(ctx.sizes, weight.split(ctx.sizes), slopes, strict=True):
            more = -size % WIDTH
            dy = pad(dy.reshape(len(rows), size), (0, more)) if more else dy.reshape(-1, size)
            dweight = weight.new_zeros(size + more, weight.shape[1])
            parts_loops.backward(*arrays(dy, rows, back(own), dx, dweight))
            dweights.append(dweight[:size])
        return dx.view(ctx.shape), torch.cat(dweights), None


def filled(weight: Tensor) -> Tensor:
    more = -len(weight) % WIDTH
    return pad(weight, (0, 0, 0, more)) if more else weight
