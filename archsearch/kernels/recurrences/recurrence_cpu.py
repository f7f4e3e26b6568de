"""The gated recurrent unit trained on one core of a CPU, in one loop forward and one back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from archsearch.kernels.recurrences.recurrence import gru as accelerated_gru
from archsearch.kernels.recurrences.recurrence_loops import backward, forward
from archsearch.kernels.trained import SINGLE, arrays, trained

# beyond this width nearly all time goes into matrix products, at which torch is the better
WIDEST = 128
plain: Any = accelerated_gru.plain  # type: ignore[attr-defined]


def gru(
    x: Tensor, h0: Tensor, weight: Tensor, recurrent: Tensor, bias: Tensor, inner_bias: Tensor
) -> Tensor:
    """See :func:`archsearch.kernels.recurrences.recurrence.gru`.

    Torch does what is only evaluated, recorded, in another precision, or wide.
    """
    inputs = (x, h0, weight, recurrent, bias, inner_bias)
    if not trained(inputs, SINGLE) or len(inner_bias) > WIDEST:
        return plain(*inputs)  # type: ignore[no-any-return]
    return _GRU.apply(linear(x, weight, bias), recurrent, inner_bias, h0)  # type: ignore[no-any-return]


class _GRU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gates: Tensor, recurrent: Tensor, bias: Tensor, h0: Tensor) -> Tensor:
        y = gates.new_empty(*gates.shape[:2], len(bias))
        kept = gates.new_empty(*gates.shape[:2], 4 * len(bias))
        forward(*arrays(gates, recurrent.t(), bias, h0, y, kept))
        ctx.save_for_backward(y, kept, recurrent, h0)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        y, kept, recurrent, h0 = ctx.saved_tensors
        width = y.shape[2]
        dgates = y.new_empty(*y.shape[:2], 3 * width)
        dinner, dh = torch.empty_like(y), y.new_zeros(h0.shape)
        backward(*arrays(dy, y, h0, kept, recurrent, dgates, dinner, dh))
        before = torch.cat([h0[:, None], y[:, :-1]], 1).flatten(0, 1)
        drecurrent = torch.empty_like(recurrent, memory_format=torch.contiguous_format)
        torch.mm(dgates.flatten(0, 1)[:, : 2 * width].t(), before, out=drecurrent[: 2 * width])
        torch.mm(dinner.flatten(0, 1).t(), before, out=drecurrent[2 * width :])
        return dgates, drecurrent, dinner.sum((0, 1)), dh
