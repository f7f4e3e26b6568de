"""Messages between positions trained on one core of a CPU, in one loop forward and one back.

None of them is kept: one bit of each number of the last stage is, and the way back makes the
stages before anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.memories.messages import messages as accelerated_messages
from archsearch.kernels.memories.messages_loops import backward, forward
from archsearch.kernels.projections.projected import untouched
from archsearch.kernels.trained import SINGLE, arrays, fit, once_differentiable, trained

plain: Any = accelerated_messages.plain  # type: ignore[attr-defined]


def messages(own: Tensor, rows: Tensor, ages: Tensor, maps: Sequence[nn.Module]) -> Tensor:
    """See :func:`archsearch.kernels.memories.messages.messages`.

    Torch does what is only evaluated, recorded, in another precision, of a width that is not whole
    lanes, or of maps that are more than their weights say.
    """
    width = own.shape[-1]
    layers = [layer for layer in maps if untouched(layer)]
    parts = [part for layer in layers for part in (layer.weight, layer.bias) if part is not None]
    given = own, rows, ages, *parts
    letters = "btw bsw rw" + len(layers) * " ww w"
    if width % WIDTH or len(parts) < 2 * len(maps) or not trained(given, SINGLE):
        return plain(own, rows, ages, maps)  # type: ignore[no-any-return]
    if not fit(letters, *given) or own.shape[1] > rows.shape[1]:
        return plain(own, rows, ages, maps)  # type: ignore[no-any-return]
    weights, biases = own.new_zeros(0, width, width), own.new_zeros(0, width)
    if layers:
        weights = torch.stack([layer.weight for layer in layers])
        biases = torch.stack([layer.bias for layer in layers])
    return _Messages.apply(own, rows, ages.flip(0), weights, biases)  # type: ignore[no-any-return]


class _Messages(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, own: Tensor, rows: Tensor, ages: Tensor, weights: Tensor, biases: Tensor
    ) -> Tensor:
        batch, steps, width = own.shape
        y = own.new_empty(batch, steps, width)
        masks = own.new_empty(batch, steps, len(ages), width // WIDTH, dtype=torch.int16)
        forward(*arrays(own, rows, ages, weights.mT, biases, masks, y))
        ctx.save_for_backward(own, rows, ages, weights, biases, masks)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        own, rows, ages, weights, biases, masks = ctx.saved_tensors
        down, drows = dy.new_empty(dy.shape), dy.new_zeros(rows.shape)
        # of each row of the batch apart, which keeps the rounding error small
        dages, dweights, dbiases = (
            dy.new_zeros(len(dy), *part.shape) for part in (ages, weights, biases)
        )
        backward(
            *arrays(dy, own, rows, ages, weights.mT, weights, biases, masks),
            *arrays(down, drows, dages, dweights, dbiases),
        )
        return down, drows, dages.sum(0), dweights.sum(0).mT, dbiases.sum(0)
