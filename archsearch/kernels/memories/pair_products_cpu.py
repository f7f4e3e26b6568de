"""Products of all pairs of features, trained on one core of a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archsearch.kernels.memories.pair_products import pair_products as accelerated_products
from archsearch.kernels.memories.pair_products_loops import backward, forward
from archsearch.kernels.trained import once_differentiable, trained

NATIVE = (torch.float32, torch.float64)
plain: Any = accelerated_products.plain  # type: ignore[attr-defined]


def pair_products(x: Tensor) -> Tensor:
    """See :func:`archsearch.kernels.memories.pair_products.pair_products`."""
    return _Pairs.apply(x) if trained((x,), NATIVE) else plain(x)  # type: ignore[no-any-return]


class _Pairs(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x, size = x.contiguous(), x.shape[-1]
        y = x.new_empty(*x.shape[:-1], (size + 1) * (size + 2) // 2)
        forward(*_rows(x, y))
        ctx.save_for_backward(x)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        dx = torch.empty_like(x)
        backward(*_rows(dy.contiguous(), x, dx))
        return dx


def _rows(*tensors: Tensor) -> tuple[Any, ...]:
    return tuple(part.view(-1, part.shape[-1]).numpy(force=True) for part in tensors)
