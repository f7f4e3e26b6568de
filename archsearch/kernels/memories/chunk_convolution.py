"""A short convolution and silu of a chunk of positions, before a memory, and their slopes.

As :mod:`archsearch.kernels.convolutions.short_convolution` defines it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import WIDTH, fused, load, product, quotient, splat, store
from archsearch.kernels.memories.lanes.lane_blocks import raised

CHUNK = WIDTH  # positions
LOG2_E = math.log2(math.e)


@inlined
def _activate(sums: Any, factor: Any, at: int, act: np.ndarray, turns: np.ndarray) -> None:
    """Write silu of the sums times a factor, and its slope where there is room for it."""
    kind = act.dtype.type
    one, minus = splat(kind(1)), splat(kind(-LOG2_E))
    half = quotient(one, fused(raised(product(sums, minus)), one, one))
    share = product(sums, half)
    store(act, at, product(share, factor))
    if turns.size > 0:
        # the slope of x s(x) is s + x s (1 - s)
        turn = fused(share, fused(half, splat(kind(-1)), one), half)
        store(turns, at, product(turn, factor))


@inlined
def convolve(
    seen: np.ndarray,
    at: int,
    apart: int,
    weight: np.ndarray,
    taps: int,
    width: int,
    scaled: int,
    scale: float,
    act: np.ndarray,
    turns: np.ndarray,
) -> None:
    """Write silu of the convolution (C, width), and its slope where there is room for it.

    The rows that the first position sees begin at ``at``; the first ``scaled`` columns of what is
    written are multiplied by ``scale``.
    """
    kind = act.dtype.type
    zero, one, scales = splat(kind(0)), splat(kind(1)), splat(kind(scale))
    for c in range(0, width, WIDTH):
        factor = scales if c < scaled else one
        if taps == 4:
            # most convolutions are so: weights and inputs stay in registers
            first, second = load(weight, c), load(weight, width + c)
            third, fourth = load(weight, 2 * width + c), load(weight, 3 * width + c)
            x, y, z = load(seen, at + c), load(seen, at + apart + c), load(seen, at + 2 * apart + c)
            for i in range(CHUNK):
                new = load(seen, at + (i + 3) * apart + c)
                sums = fused(fourth, new, fused(third, z, fused(second, y, product(first, x))))
                x, y, z = y, z, new
                _activate(sums, factor, i * width + c, act, turns)
        else:
            for i in range(CHUNK):
                sums = zero
                for tap in range(taps):
                    here = at + (i + tap) * apart + c
                    sums = fused(load(seen, here), load(weight, tap * width + c), sums)
                _activate(sums, factor, i * width + c, act, turns)


@inlined
def convolve_back(
    seen: np.ndarray,
    at: int,
    apart: int,
    weight: np.ndarray,
    taps: int,
    width: int,
    slopes: np.ndarray,
    dseen: np.ndarray,
    begin: int,
    under: int,
    added: bool,
    dweight: np.ndarray,
) -> None:
    """Write the slopes of the inputs, or add them where ``added``, and add that of the weight.

    ``slopes`` (C + taps - 1, width) are those of the sums of this chunk and the next.
    """
    zero, past = splat(slopes.dtype.type(0)), taps - 1
    for c in range(0, width, WIDTH):
        if taps == 4:
            first, second = load(weight, c), load(weight, width + c)
            third, fourth = load(weight, 2 * width + c), load(weight, 3 * width + c)
            x, y, z = load(seen, at + c), load(seen, at + apart + c), load(seen, at + 2 * apart + c)
            dx, dy = load(slopes, c), load(slopes, width + c)
            dz = load(slopes, 2 * width + c)
            a, b = load(dweight, c), load(dweight, width + c)
            d, e = load(dweight, 2 * width + c), load(dweight, 3 * width + c)
            for i in range(CHUNK):
                new, to = load(seen, at + (i + 3) * apart + c), begin + i * under + c
                dnew = load(slopes, (i + 3) * width + c)
                a, b, d, e = fused(dx, x, a), fused(dx, y, b), fused(dx, z, d), fused(dx, new, e)
                sums = load(dseen, to) if added else zero
                sums = fused(second, dz, fused(first, dnew, sums))
                store(dseen, to, fused(fourth, dx, fused(third, dy, sums)))
                x, y, z = y, z, new
                dx, dy, dz = dy, dz, dnew
            store(dweight, c, a)
            store(dweight, width + c, b)
            store(dweight, 2 * width + c, d)
            store(dweight, 3 * width + c, e)
        else:
            for i in range(CHUNK):
                sums = load(dseen, begin + i * under + c) if added else zero
                for tap in range(taps):
                    slope = load(slopes, (i + past - tap) * width + c)
                    sums = fused(slope, load(weight, tap * width + c), sums)
                store(dseen, begin + i * under + c, sums)
            for tap in range(taps):
                sums = load(dweight, tap * width + c)
                for i in range(CHUNK):
                    here = at + (i + tap) * apart + c
                    sums = fused(load(slopes, i * width + c), load(seen, here), sums)
                store(dweight, tap * width + c, sums)
