"""A norm under a gate trained on one core of a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.norms.gated_norm import EPSILON
from archsearch.kernels.norms.gated_norm import gated_norm as accelerated_norm
from archsearch.kernels.norms.gated_norm_loops import backward, forward
from archsearch.kernels.trained import once_differentiable, trained

plain: Any = accelerated_norm.plain  # type: ignore[attr-defined]


def gated_norm(
    x: Tensor, weight: Tensor | None, gate: Tensor | None, epsilon: float = EPSILON
) -> Tensor:
    """See :func:`archsearch.kernels.norms.gated_norm.gated_norm`."""
    inputs = [part for part in (x, weight, gate) if part is not None]
    fits = (weight is None or weight.shape == x.shape[-1:]) and (
        gate is None or gate.shape == (*x.shape[:-2], x.shape[-2] * x.shape[-1])
    )
    if x.shape[-1] % WIDTH or not fits or not trained(inputs, (torch.float32,)):
        return plain(x, weight, gate, epsilon)  # type: ignore[no-any-return]
    weight = x.new_ones(x.shape[-1]) if weight is None else weight
    return _GatedNorm.apply(x, weight, gate, epsilon)  # type: ignore[no-any-return]


class _GatedNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, gate: Tensor | None, epsilon: float) -> Tensor:
        x, weight = x.contiguous(), weight.contiguous()
        gate = x.new_empty(0) if gate is None else gate.contiguous()
        y = torch.empty_like(x)
        small = x.new_tensor([epsilon])
        size = x.shape[-1]
        forward(_rows(x, size), _flat(weight), _rows(gate, size), _flat(small), _rows(y, size))
        ctx.save_for_backward(x, weight, gate, small)
        return y.flatten(-2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        x, weight, gate, small = ctx.saved_tensors
        size = x.shape[-1]
        dx, dgate = torch.empty_like(x), torch.empty_like(gate)
        dweight = torch.zeros_like(weight)
        known = (_rows(dy.contiguous(), size), _rows(x, size), _flat(weight), _rows(gate, size))
        backward(*known, _flat(small), _rows(dx, size), _flat(dweight), _rows(dgate, size))
        return dx, dweight, dgate if gate.numel() else None, None


def _rows(x: Tensor, size: int) -> Any:
    return x.view(-1, size).numpy(force=True)


def _flat(x: Tensor) -> Any:
    return x.numpy(force=True)
