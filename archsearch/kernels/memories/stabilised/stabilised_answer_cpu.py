"""A norm per head, a direct path and a gate trained on one core of a CPU: one pass each way."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.memories.stabilised.stabilised_answer import (
    gated_answer as accelerated_answer,
)
from archsearch.kernels.memories.stabilised.stabilised_answer_loops import backward, forward
from archsearch.kernels.trained import SINGLE, arrays, flat, in_rows, once_differentiable, trained

plain: Any = accelerated_answer.plain  # type: ignore[attr-defined]


def gated_answer(h: Tensor, scale: Tensor, direct: Tensor, skip: Tensor, gate: Tensor) -> Tensor:
    """See :func:`archsearch.kernels.memories.stabilised.stabilised_answer.gated_answer`."""
    inputs = (h, scale, direct, skip, gate)
    both, whole = h.shape[-2:], direct.shape
    fits = scale.shape == both and whole == (*h.shape[:-2], both.numel())
    fits = fits and gate.shape == whole and skip.shape == whole[-1:]
    if h.shape[-1] % WIDTH or not fits or not trained(inputs, SINGLE):
        return plain(*inputs)  # type: ignore[no-any-return]
    return _Answer.apply(*inputs)  # type: ignore[no-any-return]


class _Answer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        *parts, gate = inputs
        h, scale, direct, skip = (part.contiguous() for part in parts)
        gate, apart = in_rows(gate)
        y, sizes = torch.empty_like(direct), np.array([*h.shape[-2:], apart])
        forward(*arrays(h, scale, direct, skip), flat(gate), *arrays(y), sizes)
        ctx.save_for_backward(h, scale, direct, skip, gate)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        *parts, gate = ctx.saved_tensors
        # who keeps tensors elsewhere may lay them out anew
        gate, apart = in_rows(gate)
        h, scale, direct, skip = parts
        dh, ddirect, dgate = torch.empty_like(h), torch.empty_like(direct), torch.empty_like(direct)
        dscale, dskip = torch.zeros_like(scale), torch.zeros_like(skip)
        found = (dh, dscale, ddirect, dskip, dgate)
        sizes = np.array([*h.shape[-2:], apart])
        backward(*arrays(dy, *parts), flat(gate), *arrays(*found), sizes)
        return found
