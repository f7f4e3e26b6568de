"""A matrix memory trained in tiles that stay in registers: one loop forward and one back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from archsearch.kernels.memories import tile_loops, tile_slopes
from archsearch.kernels.memories.linear_attention import SLOWEST_LOG_DECAY
from archsearch.kernels.memories.memory_layout import apart, filled, grid, laid
from archsearch.kernels.memories.signed_attention import SMALLEST, floored
from archsearch.kernels.trained import arrays, flat, once_differentiable

# rows and columns of a tile
SMALL, LARGE = 8, 16
# keys of a memory that overwrites, which must be in one tile
MOST_KEYS = 32

Rule = Callable[[Tensor], Tensor]


def of_logarithm(rates: Tensor) -> Tensor:
    return rates.clamp_min(SLOWEST_LOG_DECAY).exp_()


def of_size(rates: Tensor) -> Tensor:
    return rates if rates.min() >= SMALLEST else floored(rates)


class TiledMemory(torch.autograd.Function):
    """Of q, k, v, rates or None, the strength or None, and the memory; see ``tile_loops``.

    The share kept is what ``rule`` makes of the rates; without rates nothing fades.
    """

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        rates: Tensor | None,
        beta: Tensor | None,
        first: Tensor,
        rule: Rule,
    ) -> tuple[Tensor, Tensor]:
        rows, heads, keys, values = first.shape
        multiple = _multiple(keys, beta is not None)
        q, k, v = laid(q, multiple), laid(k, multiple), laid(v, SMALL)
        wide, long = q.shape[3], v.shape[3]
        fades = 0 if rates is None else 1 if rates.shape[3] == 1 else 2
        decay = v.new_empty(0, 0, 0, 0) if rates is None else rule(rates)
        decay = filled(decay, multiple) if fades == 2 else decay.contiguous()
        strength = v.new_empty(0, 0, 0) if beta is None else beta.contiguous()
        out = v.new_empty(rows, q.shape[1], heads, long)
        written = v.new_empty((0, 0, 0, 0) if beta is None else v.shape)
        memory = grid(first, wide, long)
        known = (flat(q), flat(k), flat(v), *arrays(decay, strength, memory, out, written))
        for shape, places in _tiles(q, k, v, beta is not None):
            tile_loops.forward(*shape, fades, beta is not None)(*known, places)
        ctx.save_for_backward(q, k, v if beta is None else written, rates, decay, strength, first)
        ctx.rule, ctx.fades = rule, fades
        return out[..., :values], memory[:, :, :keys, :values]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor, dleft: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, rates, decay, beta, first = ctx.saved_tensors
        rows, steps, heads, long = v.shape
        keys, values = dleft.shape[-2:]
        wide, overwrites = q.shape[3], beta.numel() > 0
        dq, dk, dv, dbeta = (part.new_empty(part.shape) for part in (q, k, v, beta))
        wanted = ctx.fades > 0 and ctx.needs_input_grad[3]
        ddecay = v.new_empty((rows, steps, heads, decay.shape[3]) if wanted else (0, 0, 0, 0))
        dmemory = grid(dleft, wide, long)
        turned = grid(first.mT, long, wide), grid(dleft.mT, long, wide)
        known = (*arrays(filled(dout, SMALL)), flat(q), flat(k), flat(v), *arrays(decay, beta))
        found = arrays(*turned, dmemory, dq, dk, dv, ddecay, dbeta)
        for shape, places in _tiles(q, k, v, overwrites):
            tile_slopes.backward(*shape, ctx.fades, overwrites)(*known, *found, places)
        return (
            dq[..., :keys],
            dk[..., :keys],
            dv[..., :values],
            _drates(ddecay, rates, decay, ctx.rule) if wanted else None,
            dbeta if overwrites else None,
            dmemory[:, :, :keys, :values],
            None,
        )


def _drates(dlog: Tensor, rates: Tensor, decay: Tensor, rule: Rule) -> Tensor:
    """The slope of the rates from that of the logarithm of the share kept."""
    size = rates.shape[3]
    dlog, decay = dlog.sum_to_size(decay.shape)[..., :size], decay[..., :size]
    if rule is of_size:
        return torch.where(rates.abs() < SMALLEST, 0.0, dlog / decay)
    cut = rates.min() < SLOWEST_LOG_DECAY
    return dlog.masked_fill(rates < SLOWEST_LOG_DECAY, 0.0) if cut else dlog


def _multiple(keys: int, overwrites: bool) -> int:
    """What keys are filled up to a multiple of."""
    if not overwrites:
        return SMALL
    return next(size for size in (SMALL, LARGE, MOST_KEYS) if keys <= size)


def _tiles(q: Tensor, k: Tensor, v: Tensor, overwrites: bool) -> Iterator[tuple[Any, Any]]:
    """The number of keys and of values of each tile, and the places of its loop."""
    rows, steps, heads, long = v.shape
    wide = q.shape[3]
    # doubles are there to check with: fewer loops to compile for a tenth more time
    most = SMALL if v.dtype == torch.float64 else LARGE
    of_keys = [(0, wide)] if overwrites else list(_parts(wide, most))
    own = (*apart(q), *apart(k), apart(v)[1])
    for key, keys in of_keys:
        for value, values in _parts(long, most):
            places = [rows, steps, heads, wide, long, q.shape[1], *own, key, value]
            yield (keys, values), np.array(places)


def _parts(size: int, most: int) -> Iterator[tuple[int, int]]:
    """Where each tile begins along a dimension, a multiple of eight, and how long it is."""
    for begin in range(0, size, most):
        yield begin, min(most, size - begin)
