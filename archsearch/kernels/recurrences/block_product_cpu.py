"""Products with blocks of four along a diagonal, trained on one core of a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archsearch.kernels.lanes import GROUP, WIDTH
from archsearch.kernels.recurrences.block_product import block_product as accelerated_product
from archsearch.kernels.recurrences.block_product import diagonals
from archsearch.kernels.recurrences.block_product_loops import backward, forward
from archsearch.kernels.trained import once_differentiable, trained

NATIVE = (torch.float32, torch.float64)
plain: Any = accelerated_product.plain  # type: ignore[attr-defined]


def block_product(x: Tensor, blocks: Tensor) -> Tensor:
    """See :func:`archsearch.kernels.recurrences.block_product.block_product`."""
    width = x.shape[-1]
    fits = width % WIDTH == 0 and blocks.shape == (width // GROUP, GROUP, GROUP)
    if not fits or not trained((x, blocks), NATIVE):
        return plain(x, blocks)  # type: ignore[no-any-return]
    return _Product.apply(x, diagonals(blocks))  # type: ignore[no-any-return]


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor) -> Tensor:
        x, weights = x.contiguous(), weights.contiguous()
        y = torch.empty_like(x)
        forward(*_arrays(x, weights, y))
        ctx.save_for_backward(x, weights)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
        x, weights = ctx.saved_tensors
        dx, dweights = torch.empty_like(x), torch.zeros_like(weights)
        backward(*_arrays(dy.contiguous(), x, weights, dx, dweights))
        return dx, dweights


def _arrays(*tensors: Tensor) -> tuple[Any, ...]:
    return tuple(part.view(-1, part.shape[-1]).numpy(force=True) for part in tensors)
