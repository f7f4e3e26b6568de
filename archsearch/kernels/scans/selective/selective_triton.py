"""The selective scan on a GPU, in one launch forward and one back, without its states in memory.

In single precision; torch does what is in double, and memories too large for one program.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import torch
import triton
from torch import Tensor

from archsearch.kernels.scans.selective import selective_scan as form
from archsearch.kernels.scans.selective.selective_programs import (
    backward_program,
    forward_program,
)
from archsearch.kernels.trained import fit, once_differentiable

NUMBERS = 1024  # of a memory, for one program
LARGEST = 256  # states a channel
STRETCH = 16  # steps between two memories that are kept


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
    kind = reduce(torch.promote_types, (part.dtype for part in inputs))
    fits = delta.numel() > 0 and fit("bte bte btn btn en ben", *inputs)
    if not fits or kind == torch.float64 or rate.shape[1] > LARGEST:
        return form.selective_scan.plain(*inputs, negative)  # type: ignore[attr-defined,no-any-return]
    y, left = _Scan.apply(*(part.float() for part in inputs), negative)
    return y.to(kind), left.to(kind)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> tuple[Tensor, Tensor]:
        given, ctx.lowest = [part.contiguous() for part in inputs[:-1]], -1.0 if inputs[-1] else 0.0
        delta, rate = given[0], given[4]
        batch, steps, width = delta.shape
        keys = rate.shape[1]
        y, left = torch.empty_like(delta), torch.empty_like(given[5])
        before = delta.new_empty(batch, triton.cdiv(steps, STRETCH), width, keys)
        grid, settings = _grid(batch, width, keys)
        settings["LOWEST"] = ctx.lowest
        forward_program[grid](*given, y, left, before, steps, width, keys, **settings)
        ctx.save_for_backward(*given[:5], before)
        return y, left

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor, dleft: Tensor) -> tuple[Tensor | None, ...]:
        *given, before = ctx.saved_tensors
        delta, rate = given[0], given[4]
        batch, steps, width = delta.shape
        keys = rate.shape[1]
        grid, settings = _grid(batch, width, keys)
        settings["LOWEST"] = ctx.lowest
        states = delta.new_empty(batch, STRETCH, width, keys)
        ddelta, du = torch.empty_like(delta), torch.empty_like(delta)
        dwrite, dread = (delta.new_empty(batch, grid[1], steps, keys) for _ in range(2))
        drate, dmemory = (delta.new_empty(batch, width, keys) for _ in range(2))
        backward_program[grid](
            *given, before, states, dy.contiguous(), dleft.contiguous(),
            ddelta, du, dwrite, dread, drate, dmemory, steps, width, keys, **settings,
        )  # fmt: skip
        return ddelta, du, dwrite.sum(1), dread.sum(1), drate.sum(0), dmemory, None


def _grid(batch: int, width: int, keys: int) -> tuple[tuple[int, int], dict[str, Any]]:
    """The programs for memories (B, E, N), and what each has."""
    size = triton.next_power_of_2(keys)
    units = min(max(1, NUMBERS // size), triton.next_power_of_2(width))
    return (batch, triton.cdiv(width, units)), {"STRETCH": STRETCH, "UNITS": units, "SIZE": size}
