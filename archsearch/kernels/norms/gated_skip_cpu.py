"""A direct path, a gate and a norm trained on one core of a CPU: one pass forward and one back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.norms.gated_norm import EPSILON
from archsearch.kernels.norms.gated_skip import gated_skip as accelerated_skip
from archsearch.kernels.norms.gated_skip_loops import backward, forward
from archsearch.kernels.trained import SINGLE, arrays, flat, trained

plain: Any = accelerated_skip.plain  # type: ignore[attr-defined]


def gated_skip(
    x: Tensor, u: Tensor, skip: Tensor, gate: Tensor, weight: Tensor | None = None
) -> Tensor:
    """See :func:`archsearch.kernels.norms.gated_skip.gated_skip`."""
    inputs = (x, u, skip, gate) if weight is None else (x, u, skip, gate, weight)
    if x.shape[-1] % WIDTH or not trained(inputs, SINGLE):
        return plain(x, u, skip, gate, weight)  # type: ignore[no-any-return]
    weight = x.new_empty(0) if weight is None else weight
    return _Skip.apply(x, u, skip, gate, weight)  # type: ignore[no-any-return]


class _Skip(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, u: Tensor, skip: Tensor, gate: Tensor, weight: Tensor
    ) -> Tensor:
        x, u, gate = x.contiguous(), _in_rows(u), _in_rows(gate)
        skip, weight = skip.contiguous(), weight.contiguous()
        y = torch.empty_like(x)
        forward(
            *arrays(x), flat(u), *arrays(skip), flat(gate), *arrays(weight, y), *layout(u, gate)
        )
        ctx.save_for_backward(x, u, skip, gate, weight)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        x, u, skip, gate, weight = ctx.saved_tensors
        dx, du, dgate = torch.empty_like(x), torch.empty_like(x), torch.empty_like(x)
        dskip, dweight = torch.zeros_like(skip), torch.zeros_like(weight)
        known = (*arrays(dy, x), flat(u), *arrays(skip), flat(gate), *arrays(weight))
        backward(*known, *arrays(dx, du, dskip, dgate, dweight), *layout(u, gate))
        return dx, du, dskip, dgate, dweight


def _in_rows(x: Tensor) -> Tensor:
    """``x`` with all its rows equally far apart; the part of a projection is as it lies."""
    apart = x.stride(-2) if x.ndim > 1 else x.shape[-1]
    whole = apart
    for size, stride in zip(reversed(x.shape[:-1]), reversed(x.stride()[:-1]), strict=True):
        if size > 1 and stride != whole:
            return x.contiguous()
        whole *= size
    return x if x.stride(-1) == 1 and apart >= x.shape[-1] else x.contiguous()


def layout(u: Tensor, gate: Tensor) -> tuple[Any, Any]:
    """How far apart the rows of both lie, and the norm's epsilon."""
    apart = [x.stride(-2) if x.ndim > 1 else x.shape[-1] for x in (u, gate)]
    return np.array(apart), np.array([EPSILON], np.float32)
