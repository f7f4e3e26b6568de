"""A direct path, a gate and a norm trained on one core of a CPU: one pass forward and one back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.norms.gated_norm import EPSILON
from archsearch.kernels.norms.gated_skip import gated_skip as accelerated_skip
from archsearch.kernels.norms.gated_skip_loops import backward, forward
from archsearch.kernels.trained import SINGLE, arrays, flat, in_rows, once_differentiable, trained

plain: Any = accelerated_skip.plain  # type: ignore[attr-defined]


def gated_skip(
    x: Tensor, u: Tensor, skip: Tensor, gate: Tensor, weight: Tensor | None = None
) -> Tensor:
    """See :func:`archsearch.kernels.norms.gated_skip.gated_skip`."""
    inputs = (x, u, skip, gate) if weight is None else (x, u, skip, gate, weight)
    fits = x.shape == u.shape == gate.shape and all(
        part.shape == x.shape[-1:] for part in (skip, *inputs[4:])
    )
    if x.shape[-1] % WIDTH or not fits or not trained(inputs, SINGLE):
        return plain(x, u, skip, gate, weight)  # type: ignore[no-any-return]
    weight = x.new_empty(0) if weight is None else weight
    return _Skip.apply(x, u, skip, gate, weight)  # type: ignore[no-any-return]


class _Skip(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, u: Tensor, skip: Tensor, gate: Tensor, weight: Tensor
    ) -> Tensor:
        x, skip, weight = x.contiguous(), skip.contiguous(), weight.contiguous()
        (u, apart), (gate, gates_apart) = in_rows(u), in_rows(gate)
        y, known = torch.empty_like(x), layout(apart, gates_apart)
        forward(*arrays(x), flat(u), *arrays(skip), flat(gate), *arrays(weight, y), *known)
        ctx.save_for_backward(x, u, skip, gate, weight)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        x, u, skip, gate, weight = ctx.saved_tensors
        # who keeps tensors elsewhere may lay them out anew
        (u, apart), (gate, gates_apart) = in_rows(u), in_rows(gate)
        dx, du, dgate = torch.empty_like(x), torch.empty_like(x), torch.empty_like(x)
        dskip, dweight = torch.zeros_like(skip), torch.zeros_like(weight)
        known = (*arrays(dy, x), flat(u), *arrays(skip), flat(gate), *arrays(weight))
        found = arrays(dx, du, dskip, dgate, dweight)
        backward(*known, *found, *layout(apart, gates_apart))
        return dx, du, dskip, dgate, dweight


def layout(*apart: int) -> tuple[Any, Any]:
    """How far apart the rows of both lie, and the norm's epsilon."""
    return np.array(apart), np.array([EPSILON], np.float32)
