"""A term of the training loss that arises inside a network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archsearch.blocks.padding import positions


def with_loss(y: Tensor, loss: Tensor) -> Tensor:
    """y as it is; going back, the scalar beside it counts as a part of whatever is lowered.

    It is a mean over the positions that are here, and counts for their portion. The loss that
    training reports is without it.
    """
    return _WithLoss.apply(y, positions().portion * loss)  # type: ignore[no-any-return]


class _WithLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, loss: Tensor) -> Tensor:
        ctx.save_for_backward(loss)
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        (loss,) = ctx.saved_tensors
        return gradient, torch.ones_like(loss)
