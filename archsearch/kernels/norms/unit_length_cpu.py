"""Vectors scaled to length one in a training on one core of a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.norms.unit_length import SHORTEST
from archsearch.kernels.norms.unit_length import unit_length as accelerated_scaling
from archsearch.kernels.norms.unit_length_loops import backward, forward
from archsearch.kernels.trained import once_differentiable, trained

NATIVE = (torch.float32, torch.float64)
plain: Any = accelerated_scaling.plain  # type: ignore[attr-defined]


def unit_length(x: Tensor) -> Tensor:
    """See :func:`archsearch.kernels.norms.unit_length.unit_length`."""
    if x.shape[-1] % WIDTH or not trained((x,), NATIVE):
        return plain(x)  # type: ignore[no-any-return]
    return _UnitLength.apply(x)  # type: ignore[no-any-return]


class _UnitLength(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous()
        y, scale, shortest = (
            torch.empty_like(x),
            x.new_empty(x.shape[:-1]),
            x.new_tensor([SHORTEST]),
        )
        forward(_rows(x), _flat(shortest), _rows(y), _flat(scale))
        ctx.save_for_backward(y, scale, shortest)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        y, scale, shortest = ctx.saved_tensors
        dx = torch.empty_like(y)
        backward(_rows(dy.contiguous()), _rows(y), _flat(scale), _flat(shortest), _rows(dx))
        return dx


def _rows(x: Tensor) -> Any:
    return x.view(-1, x.shape[-1]).numpy(force=True)


def _flat(x: Tensor) -> Any:
    return x.view(-1).numpy(force=True)
