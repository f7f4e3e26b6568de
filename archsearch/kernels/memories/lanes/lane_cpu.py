"""Memories in lanes trained on one core of a CPU: one loop forward and one back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.memories.lanes import lane_loops
from archsearch.kernels.memories.lanes.gated_lanes import gated_lanes as accelerated_lanes
from archsearch.kernels.memories.lanes.lane_paths import CHUNK
from archsearch.kernels.trained import arrays, fit, flat, once_differentiable, trained

NATIVE = (torch.float32, torch.float64)
# lanes that have a place in a row of paths, and numbers in a memory beyond which torch's products
# of matrices are the better
MOST, LARGEST = WIDTH, 128 * 128
plain: Any = accelerated_lanes.plain  # type: ignore[attr-defined]


def gated_lanes(mixed: Tensor, gates: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.lanes.gated_lanes.gated_lanes`."""
    inputs = (mixed, gates, memory)
    small = memory.shape[-1] ** 2 <= LARGEST
    if not small or not trained(inputs, NATIVE) or not _fits(*inputs):
        return plain(*inputs)  # type: ignore[no-any-return]
    return _Lanes.apply(*inputs)  # type: ignore[no-any-return]


def _fits(mixed: Tensor, gates: Tensor, memory: Tensor) -> bool:
    if not fit("btm btg bhjkk", mixed, gates, memory):
        return False
    _, heads, lanes, size, _ = memory.shape
    each, more = divmod(gates.shape[2], heads)
    least = 3 * lanes + 1
    known = not more and each in (least, least + lanes**2) and lanes <= MOST
    return known and mixed.shape[2] == 3 * heads * size


class _Lanes(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, mixed: Tensor, gates: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        rows, heads, lanes, size, _ = first.shape
        steps, wide = mixed.shape[1], size + -size % WIDTH
        mixed, gates = _laid(mixed), _laid(gates)
        out = mixed.new_empty(rows, steps, heads, size)
        memory = first.clone(memory_format=torch.contiguous_format)
        kept = mixed.new_empty(rows, -(-steps // CHUNK) + 1, heads, lanes, wide, wide)
        if size < wide:
            kept[:, 0] = 0
        scale, places = mixed.new_tensor([size**-0.5]), _places(mixed, gates, first)
        lane_loops.forward(flat(mixed), flat(gates), *arrays(memory, out, kept, scale), places)
        ctx.save_for_backward(mixed, gates, kept, scale)
        return out, memory

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor, dleft: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mixed, gates, kept, scale = ctx.saved_tensors
        dmixed, dgates = mixed.new_empty(mixed.shape), gates.new_empty(gates.shape)
        dmemory = dleft.clone(memory_format=torch.contiguous_format)
        known, places = (flat(mixed), flat(gates)), _places(mixed, gates, dmemory)
        found = arrays(kept, dmemory, dmixed, dgates, scale)
        lane_loops.backward(*arrays(dout), *known, *found, places)
        return dmixed, dgates, dmemory


def _laid(x: Tensor) -> Tensor:
    """``x`` as it lies where the numbers of a position are neighbours, else copied."""
    return x if x.stride(-1) == 1 and min(x.stride()) >= 0 else x.contiguous()


def _places(mixed: Tensor, gates: Tensor, memory: Tensor) -> Any:
    rows, heads, lanes, size, _ = memory.shape
    sizes = (rows, mixed.shape[1], heads, size, lanes, gates.shape[2] // heads)
    return np.array([*sizes, *mixed.stride()[:2], *gates.stride()[:2]])
