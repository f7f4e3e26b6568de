"""A memory of Taylor features trained on one core of a CPU: one loop forward and one back."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from archsearch.kernels.memories.memory_layout import apart, filled, laid
from archsearch.kernels.memories.taylor.taylor_attention import SMALLEST_SUM, parted
from archsearch.kernels.memories.taylor.taylor_attention import (
    taylor_attention as accelerated_attention,
)
from archsearch.kernels.memories.taylor.taylor_features import LANES, shares
from archsearch.kernels.memories.taylor.taylor_loops import WIDTH, forward, room
from archsearch.kernels.memories.taylor.taylor_slopes import backward
from archsearch.kernels.trained import arrays, fit, flat, once_differentiable, trained

NATIVE = (torch.float32, torch.float64)
# numbers in a query, of whose features the nearest caches hold a memory
MOST = 16
plain: Any = accelerated_attention.plain  # type: ignore[attr-defined]


def taylor_attention(
    mixed: Tensor, own: Tensor, twice: Tensor, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """See :func:`archsearch.kernels.memories.taylor.taylor_attention.taylor_attention`."""
    if not trained((mixed, own, memory), NATIVE) or not _fits(mixed, own, twice, memory):
        return plain(mixed, own, twice, memory)  # type: ignore[no-any-return]
    return _Memory.apply(mixed, own, memory, twice)  # type: ignore[no-any-return]


def _fits(mixed: Tensor, own: Tensor, twice: Tensor, memory: Tensor) -> bool:
    if not fit("btm brw b bhfv", mixed, own, twice, memory):
        return False
    _, heads, features, values = memory.shape
    size, more = divmod(own.shape[2] - heads * (values - 1), heads)
    known = not more and 0 < size <= MOST and features == (size + 1) * (size + 2) // 2
    wide = mixed.shape[2] == own.shape[2] + heads * size
    return known and wide and own.shape[1] <= mixed.shape[1]


class _Memory(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, mixed: Tensor, own: Tensor, memory: Tensor, twice: Tensor
    ) -> tuple[Tensor, Tensor]:
        q, k, v, first, second = parted(mixed, own, memory)
        number, values = q.shape[3], v.shape[3]
        lanes = LANES if values <= LANES else WIDTH
        q, k, first = (laid(part, LANES) for part in (q, k, first))
        v, second = laid(v, lanes), laid(second, lanes)
        scale = q.new_tensor([number**-0.25, 1.0, SMALLEST_SUM])
        held, sums = _apart(memory, number, q.shape[3], v.shape[3])
        out, divisor = v.new_empty(v.shape), v.new_empty(v.shape[:3])
        parts = (q, k, v, first, second)
        twice = twice.clamp(0, first.shape[1]).long()
        known = (*map(flat, parts), *arrays(twice, scale), _shares(q))
        found = arrays(held, sums, out, divisor)
        forward(q.shape[3], lanes)(*known, *found, _places(*parts))
        ctx.save_for_backward(*parts, twice, scale, out, divisor, memory)
        ctx.number = number
        return out[..., :values], _joined(held, sums, number, q.shape[3], values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dout: Tensor, dleft: Tensor) -> tuple[Tensor | None, ...]:
        *parts, twice, scale, out, divisor, memory = ctx.saved_tensors
        q, _, v, first, _ = parts
        number, values, long = ctx.number, dleft.shape[3] - 1, v.shape[3]
        held, sums = _apart(memory, number, q.shape[3], long)
        dheld, dsums = _apart(dleft, number, q.shape[3], long)
        turned = arrays(held.mT.contiguous(), sums, dheld.mT.contiguous(), dheld, dsums)
        # slopes are written where those of ``mixed`` and ``own`` lie, filled up as they are;
        # what is not written twice has none
        rows, steps, heads = v.shape[:3]
        dmixed = v.new_empty(rows, steps, heads * (2 * q.shape[3] + long))
        down = v.new_zeros(rows, first.shape[1], heads * (q.shape[3] + long))
        found = parted(dmixed, down, v.new_empty(0, heads, 0, long + 1))
        known = (*arrays(filled(dout, min(long, WIDTH))), *map(flat, parts))
        known += *arrays(twice, scale), _shares(q), *arrays(out, divisor)
        places = np.append(_places(*parts), [apart(part)[1] for part in found])
        backward(q.shape[3], min(long, WIDTH))(*known, *turned, *map(flat, found), places)
        if (q.shape[3], long) != (number, values):
            sizes = (number, number, values, number, values)
            cut = [part[..., :size].flatten(2) for part, size in zip(found, sizes, strict=True)]
            dmixed, down = torch.cat(cut[:3], -1), torch.cat(cut[3:], -1)
        return dmixed, down, _joined(dheld, dsums, number, q.shape[3], values), None


def _shares(q: Tensor) -> Any:
    return shares(q.shape[3], q.numpy(force=True).dtype)


def _places(q: Tensor, k: Tensor, v: Tensor, first: Tensor, second: Tensor) -> Any:
    rows, steps, heads, long = v.shape
    own = [distance for part in (q, k, v, first, second) for distance in apart(part)]
    return np.array([rows, steps, heads, long, room(q.shape[3]), first.shape[1], *own])


def _apart(memory: Tensor, number: int, size: int, long: int) -> tuple[Tensor, Tensor]:
    """[S, z] (B, H, F, V + 1) as S (B, H, F', V') and z (B, H, F'), filled up with zeros."""
    held = memory.new_zeros(*memory.shape[:2], room(size), long)
    sums = memory.new_zeros(*memory.shape[:2], room(size))
    where = _where(number, size)
    held[:, :, where, : memory.shape[3] - 1] = memory[..., :-1]
    sums[:, :, where] = memory[..., -1]
    return held, sums


def _joined(held: Tensor, sums: Tensor, number: int, size: int, values: int) -> Tensor:
    where = _where(number, size)
    return torch.cat([held[:, :, where, :values], sums[:, :, where, None]], -1)


@cache
def _where(number: int, size: int) -> Tensor | slice:
    """The places of the features of ``number`` numbers among those of ``size``."""
    left, right = torch.triu_indices(size + 1, size + 1)
    places = ((left <= number) & (right <= number)).nonzero()[:, 0]
    return places if number < size else slice(len(places))
