"""A short convolution of four taps, the taps and the last inputs of sixteen channels in registers.

Some positions are done for all channels before the next ones, so that what is read stays near.
Arrays are those of ``short_convolution_loops``, and ``n`` is the row of the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import float32

from archsearch.kernels.inlined import inlined
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

LOG2_E = 1.4426950408889634
TAPS = 4
MOST = 64  # positions before the next channels, whose slopes of a tap are one sum
FEWEST = 8
NEAR = 6144  # numbers that stay near


@inlined
def silu(sums: Any) -> Any:
    one = splat(float32(1))
    shut = power_of_two(product(sums, splat(float32(-LOG2_E))))
    return quotient(sums, fused(shut, one, one))


@inlined
def silu_slope(sums: Any) -> Any:
    """s + x s (1 - s), s the logistic function of x."""
    one = splat(float32(1))
    shut = power_of_two(product(sums, splat(float32(-LOG2_E))))
    half = quotient(one, fused(shut, one, one))
    return fused(product(sums, half), fused(half, splat(float32(-1)), one), half)


@inlined
def at_once(width: int) -> int:
    """Positions that are done for some channels before the next ones."""
    return min(MOST, max(FEWEST, NEAR // width))


@inlined
def seen(x: np.ndarray, recent: np.ndarray, n: int, t: int, c: int, places: np.ndarray) -> Any:
    """The input of sixteen channels at a position, those before the first being recent."""
    if t < 0:
        return load(recent, ((n + 1) * (TAPS - 1) + t) * places[2] + c)
    return load(x, n * places[3] + t * places[4] + c)


@inlined
def convolve(
    x: np.ndarray,
    recent: np.ndarray,
    weight: np.ndarray,
    y: np.ndarray,
    n: int,
    places: np.ndarray,
) -> None:
    steps, width, apart, activated = places[1], places[2], places[4], places[5]
    chunk = at_once(width)
    for begin in range(0, steps, chunk):
        count = min(chunk, steps - begin)
        for c in range(0, width, WIDTH):
            first, second = load(weight, c), load(weight, width + c)
            third, fourth = load(weight, 2 * width + c), load(weight, 3 * width + c)
            far = seen(x, recent, n, begin - 3, c, places)
            middle = seen(x, recent, n, begin - 2, c, places)
            near = seen(x, recent, n, begin - 1, c, places)
            source, at = n * places[3] + begin * apart + c, (n * steps + begin) * width + c
            for _ in range(count):
                now = load(x, source)
                sums = fused(second, middle, product(first, far))
                sums = fused(fourth, now, fused(third, near, sums))
                store(y, at, silu(sums) if activated else sums)
                far, middle, near = middle, near, now
                source += apart
                at += width


@inlined
def convolve_back(
    dy: np.ndarray,
    x: np.ndarray,
    recent: np.ndarray,
    weight: np.ndarray,
    dx: np.ndarray,
    drecent: np.ndarray,
    dweight: np.ndarray,
    held: np.ndarray,
    n: int,
    places: np.ndarray,
) -> None:
    """Add to ``dweight``; ``held`` (3, C) are slopes of the sums that the next positions need."""
    steps, width, apart, activated = places[1], places[2], places[4], places[5]
    past, chunk = TAPS - 1, at_once(width)
    one, zero = splat(float32(1)), splat(float32(0))
    held[:] = 0
    for begin in range(0, steps + past, chunk):
        end = min(begin + chunk, steps + past)
        for c in range(0, width, WIDTH):
            first, second = load(weight, c), load(weight, width + c)
            third, fourth = load(weight, 2 * width + c), load(weight, 3 * width + c)
            dfirst, dsecond, dthird, dfourth = zero, zero, zero, zero
            early, middle = load(held, c), load(held, width + c)
            late = load(held, 2 * width + c)
            if begin < steps:
                x3 = seen(x, recent, n, begin - 3, c, places)
                x2 = seen(x, recent, n, begin - 2, c, places)
                x1 = seen(x, recent, n, begin - 1, c, places)
            else:
                x3, x2, x1 = zero, zero, zero
            source, at = n * places[3] + begin * apart + c, (n * steps + begin) * width + c
            for t in range(begin, end):
                slope = zero
                if t < steps:
                    slope, now = load(dy, at), load(x, source)
                    if activated:
                        sums = fused(second, x2, product(first, x3))
                        sums = fused(fourth, now, fused(third, x1, sums))
                        slope = product(slope, silu_slope(sums))
                    dfirst, dsecond = fused(slope, x3, dfirst), fused(slope, x2, dsecond)
                    dthird, dfourth = fused(slope, x1, dthird), fused(slope, now, dfourth)
                    x3, x2, x1 = x2, x1, now
                back = fused(second, late, product(first, slope))
                back = fused(fourth, early, fused(third, middle, back))
                if t < past:
                    store(drecent, (n * past + t) * width + c, back)
                else:
                    store(dx, at - past * width, back)
                early, middle, late = middle, late, slope
                source += apart
                at += width
            store(held, c, early)
            store(held, width + c, middle)
            store(held, 2 * width + c, late)
            store(dweight, c, fused(one, dfirst, load(dweight, c)))
            for tap, part in ((1, dsecond), (2, dthird), (3, dfourth)):
                place = tap * width + c
                store(dweight, place, fused(one, part, load(dweight, place)))
