"""A norm per head, a direct path and a gate trained on one core of a CPU: one pass each way."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.memories.stabilised.stabilised_answer import (
    gated_answer as accelerated_answer,
)
from archsearch.kernels.memories.stabilised.stabilised_answer_loops import backward, forward
from archsearch.kernels.trained import SINGLE, arrays, flat, trained

plain: Any = accelerated_answer.plain  # type: ignore[attr-defined]


def gated_answer(h: Tensor, scale: Tensor, direct: Tensor, skip: Tensor, gate: Tensor) -> Tensor:
    """See :func:`archsearch.kernels.memories.stabilised.stabilised_answer.gated_answer`."""
    inputs = (h, scale, direct, skip, gate)
    if h.shape[-1] % WIDTH or not trained(inputs, SINGLE):
        return plain(*inputs)  # type: ignore[no-any-return]
    return _Answer.apply(*inputs)  # type: ignore[no-any-return]


class _Answer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        *parts, gate = inputs
        h, scale, direct, skip = (part.contiguous() for part in parts)
        gate = _in_rows(gate)
        y = torch.empty_like(direct)
        forward(*arrays(h, scale, direct, skip), flat(gate), *arrays(y), _sizes(h, gate))
        ctx.save_for_backward(h, scale, direct, skip, gate)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        *parts, gate = ctx.saved_tensors
        h, scale, direct, skip = parts
        dh, ddirect, dgate = torch.empty_like(h), torch.empty_like(direct), torch.empty_like(direct)
        dscale, dskip = torch.zeros_like(scale), torch.zeros_like(skip)
        found = (dh, dscale, ddirect, dskip, dgate)
        backward(*arrays(dy, *parts), flat(gate), *arrays(*found), _sizes(h, gate))
        return found


def _in_rows(x: Tensor) -> Tensor:
    """``x`` with all its rows equally far apart; the part of a projection is as it lies."""
    apart = whole = _apart(x)
    for size, stride in zip(reversed(x.shape[:-1]), reversed(x.stride()[:-1]), strict=True):
        if size > 1 and stride != whole:
            return x.contiguous()
        whole *= size
    return x if x.stride(-1) == 1 and apart >= x.shape[-1] else x.contiguous()


def _apart(x: Tensor) -> int:
    return x.stride(-2) if x.ndim > 1 else x.shape[-1]


def _sizes(h: Tensor, gate: Tensor) -> Any:
    return np.array([*h.shape[-2:], _apart(gate)])
