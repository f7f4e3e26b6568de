"""What stands before a stabilised memory, of a chunk: a short convolution, silu, and gates."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy import float32

from archsearch.kernels.lane_functions import sigmoid, softplus
from archsearch.kernels.lanes import (
    WIDTH,
    fused,
    load,
    power_of_two,
    product,
    quotient,
    splat,
    store,
)
from archsearch.kernels.memories.stabilised.stabilised_attention import (
    GREATEST_FLOOR,
    SMALLEST_LOG_FORGET,
    SMALLEST_SUM,
)
from archsearch.kernels.vector_math import inlined

LOG2_E = math.log2(math.e)
LEAST, GREATEST = float32(math.log(SMALLEST_SUM)), float32(GREATEST_FLOOR)
FORGOTTEN = float32(SMALLEST_LOG_FORGET)


@inlined
def _activate(sums: Any, at: int, act: np.ndarray, turns: np.ndarray) -> None:
    one = splat(float32(1))
    half = quotient(one, fused(power_of_two(product(sums, splat(float32(-LOG2_E)))), one, one))
    share = product(sums, half)
    store(act, at, share)
    if turns.size > 0:
        # the slope of x s(x) is s + x s (1 - s)
        store(turns, at, fused(share, fused(half, splat(float32(-1)), one), half))


@inlined
def convolve(
    seen: np.ndarray,
    at: int,
    apart: int,
    weight: np.ndarray,
    taps: int,
    width: int,
    act: np.ndarray,
    turns: np.ndarray,
) -> None:
    """Write silu of the convolution (C, width), and its slope where there is room for it.

    The rows that the first position sees begin at ``at``.
    """
    for c in range(0, width, WIDTH):
        if taps == 4:
            # most convolutions are so: weights and inputs stay in registers
            first, second = load(weight, c), load(weight, width + c)
            third, fourth = load(weight, 2 * width + c), load(weight, 3 * width + c)
            x, y, z = load(seen, at + c), load(seen, at + apart + c), load(seen, at + 2 * apart + c)
            for i in range(WIDTH):
                new = load(seen, at + (i + 3) * apart + c)
                sums = fused(fourth, new, fused(third, z, fused(second, y, product(first, x))))
                x, y, z = y, z, new
                _activate(sums, i * width + c, act, turns)
        else:
            for i in range(WIDTH):
                sums = splat(float32(0))
                for tap in range(taps):
                    here = at + (i + tap) * apart + c
                    sums = fused(load(seen, here), load(weight, tap * width + c), sums)
                _activate(sums, i * width + c, act, turns)


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
    dweight: np.ndarray,
) -> None:
    """Add the slopes of the inputs and that of the weight.

    ``slopes`` (C + taps - 1, width) are those of the sums of this chunk and the next.
    """
    past = taps - 1
    for c in range(0, width, WIDTH):
        if taps == 4:
            first, second = load(weight, c), load(weight, width + c)
            third, fourth = load(weight, 2 * width + c), load(weight, 3 * width + c)
            x, y, z = load(seen, at + c), load(seen, at + apart + c), load(seen, at + 2 * apart + c)
            dx, dy = load(slopes, c), load(slopes, width + c)
            dz = load(slopes, 2 * width + c)
            a, b = load(dweight, c), load(dweight, width + c)
            d, e = load(dweight, 2 * width + c), load(dweight, 3 * width + c)
            for i in range(WIDTH):
                new, to = load(seen, at + (i + 3) * apart + c), begin + i * under + c
                dnew = load(slopes, (i + 3) * width + c)
                a, b, d, e = fused(dx, x, a), fused(dx, y, b), fused(dx, z, d), fused(dx, new, e)
                sums = fused(third, dy, fused(second, dz, fused(first, dnew, load(dseen, to))))
                store(dseen, to, fused(fourth, dx, sums))
                x, y, z = y, z, new
                dx, dy, dz = dy, dz, dnew
            store(dweight, c, a)
            store(dweight, width + c, b)
            store(dweight, 2 * width + c, d)
            store(dweight, 3 * width + c, e)
        else:
            for i in range(WIDTH):
                sums = load(dseen, begin + i * under + c)
                for tap in range(taps):
                    slope = load(slopes, (i + past - tap) * width + c)
                    sums = fused(slope, load(weight, tap * width + c), sums)
                store(dseen, begin + i * under + c, sums)
            for tap in range(taps):
                sums = load(dweight, tap * width + c)
                for i in range(WIDTH):
                    here = at + (i + tap) * apart + c
                    sums = fused(load(slopes, i * width + c), load(seen, here), sums)
                store(dweight, tap * width + c, sums)


@inlined
def open_gates(
    logits: np.ndarray,
    at: int,
    forget_at: int,
    count: int,
    now: float32,
    gates: np.ndarray,
    to: int,
) -> float32:
    """Write the gates of one head in a chunk, as ``stabilised_chunks`` reads them; m behind it.

    ``now`` is m before the chunk; the rows of input and forget gates, of ``WIDTH`` positions,
    begin at ``at`` and ``forget_at``.
    """
    least, last = to + 2 * WIDTH, GREATEST
    store(gates, to, softplus(product(splat(float32(-1)), load(logits, forget_at))))
    for i in range(count):
        forgotten, added = -gates[to + i], logits[at + i]
        kept = now + (FORGOTTEN if forgotten < FORGOTTEN else forgotten)
        now = added if added > kept or added != added else kept
        gates[to + i], gates[to + WIDTH + i] = kept - now, added - now
        floor = LEAST if -now < LEAST else -now
        gates[least + i] = last if floor > last else floor
    for i in range(0, 3 * WIDTH, WIDTH):
        store(gates, to + i, power_of_two(product(splat(float32(LOG2_E)), load(gates, to + i))))
    for i in range(count, WIDTH):
        gates[to + i], gates[to + WIDTH + i], gates[least + i] = 1, 0, 1
    return now


@inlined
def shut_gates(logits: np.ndarray, at: int, dlogs: np.ndarray, to: int, count: int) -> None:
    """Make the slope of the logarithm of a share kept that of the forget gate's logit."""
    slope = product(load(dlogs, to), sigmoid(product(splat(float32(-1)), load(logits, at))))
    store(dlogs, to, slope)
    for i in range(WIDTH):
        if i >= count or logits[at + i] < FORGOTTEN:
            dlogs[to + i] = 0
