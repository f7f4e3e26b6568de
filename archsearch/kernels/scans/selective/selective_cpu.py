"""The selective scan trained on one core of a CPU."""

from __future__ import annotations

from typing import Any

import torch
from numpy import float32
from torch import Tensor

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.scans.selective.selective_loops import CHUNK, backward, forward
from archsearch.kernels.scans.selective.selective_scan import selective_scan as accelerated_scan
from archsearch.kernels.trained import arrays, fit, once_differentiable, trained

plain: Any = accelerated_scan.plain  # type: ignore[attr-defined]


def selective_scan(
    delta: Tensor,
    u: Tensor,
    write: Tensor,
    read: Tensor,
    rate: Tensor,
    memory: Tensor,
    negative: bool = False,
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.scans.selective.selective_scan.selective_scan`."""
    inputs = (delta, u, write, read, rate, memory)
    single = trained(inputs, (torch.float32,))
    if delta.shape[-1] % WIDTH or not single or not fit("bte bte btn btn en ben", *inputs):
        return plain(*inputs, negative)  # type: ignore[no-any-return]
    y, left = _Scan.apply(delta, u, write, read, rate.t(), memory.transpose(1, 2), negative)
    return y, left.transpose(1, 2)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        delta, u, write, read, rate, first = (part.contiguous() for part in inputs[:-1])
        ctx.lowest = float32(-1.0 if inputs[-1] else 0.0)  # that a factor may be
        rows, steps, _ = delta.shape
        y, memory = torch.empty_like(delta), first.clone()
        kept = delta.new_empty(rows, -(-steps // CHUNK), *rate.shape)
        forward(*arrays(delta, u, write, read, rate, memory, y, kept), ctx.lowest)
        ctx.save_for_backward(delta, u, write, read, rate, kept)
        return y, memory

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dleft: Tensor) -> tuple[Tensor | None, ...]:
        delta, u, write, read, rate, kept = ctx.saved_tensors
        ddelta, du, dwrite, dread = map(torch.empty_like, (delta, u, write, read))
        drate, dmemory = torch.zeros_like(rate), dleft.clone(memory_format=torch.contiguous_format)
        found = (ddelta, du, dwrite, dread, drate)
        known = (delta, u, write, read, rate, kept)
        backward(*arrays(dy.contiguous(), *known, dmemory, *found), ctx.lowest)
        return *found, dmemory, None
