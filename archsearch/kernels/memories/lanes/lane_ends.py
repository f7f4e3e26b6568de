"""What stands before and behind memories in lanes: a short convolution, and a norm under a gate.

Both of a chunk at a time, as :mod:`archsearch.kernels.convolutions.short_convolution` and
:mod:`archsearch.kernels.norms.gated_norm` define them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from archsearch.kernels.lanes import (
    WIDTH,
    fused,
    load,
    product,
    quotient,
    repeated,
    splat,
    store,
)
from archsearch.kernels.memories.lanes.lane_blocks import raised, root, row_sums
from archsearch.kernels.memories.lanes.lane_paths import CHUNK
from archsearch.kernels.vector_math import inlined

LOG2_E = math.log2(math.e)


@inlined
def activate(sums: Any, factor: Any, at: int, act: np.ndarray, turns: np.ndarray) -> None:
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
    scale: float,
    act: np.ndarray,
    turns: np.ndarray,
) -> None:
    """Write silu of the convolution (C, 3 width), and its slope; ``scale`` is that of queries.

    The rows that the first position sees begin at ``at``.
    """
    kind = act.dtype.type
    zero, one, scales, wide = splat(kind(0)), splat(kind(1)), splat(kind(scale)), 3 * width
    for c in range(0, wide, WIDTH):
        factor = scales if c < width else one
        if taps == 4:
            # most convolutions are so: weights and inputs stay in registers
            first, second = load(weight, c), load(weight, wide + c)
            third, fourth = load(weight, 2 * wide + c), load(weight, 3 * wide + c)
            x, y, z = load(seen, at + c), load(seen, at + apart + c), load(seen, at + 2 * apart + c)
            for i in range(CHUNK):
                new = load(seen, at + (i + 3) * apart + c)
                sums = fused(fourth, new, fused(third, z, fused(second, y, product(first, x))))
                x, y, z = y, z, new
                activate(sums, factor, i * wide + c, act, turns)
        else:
            for i in range(CHUNK):
                sums = zero
                for tap in range(taps):
                    here = at + (i + tap) * apart + c
                    sums = fused(load(seen, here), load(weight, tap * wide + c), sums)
                activate(sums, factor, i * wide + c, act, turns)


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
    """Write the slopes of the inputs, and add that of the weight.

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
                new = load(seen, at + (i + 3) * apart + c)
                dnew = load(slopes, (i + 3) * width + c)
                a, b, d, e = fused(dx, x, a), fused(dx, y, b), fused(dx, z, d), fused(dx, new, e)
                sums = fused(fourth, dx, fused(third, dy, fused(second, dz, product(first, dnew))))
                store(dseen, begin + i * under + c, sums)
                x, y, z = y, z, new
                dx, dy, dz = dy, dz, dnew
            store(dweight, c, a)
            store(dweight, width + c, b)
            store(dweight, 2 * width + c, d)
            store(dweight, 3 * width + c, e)
        else:
            for i in range(CHUNK):
                sums = zero
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


@inlined
def scales(
    seen: np.ndarray,
    row: int,
    apart: int,
    size: int,
    epsilon: float,
    square: np.ndarray,
    shrinks: np.ndarray,
) -> None:
    """Write 1 / rms of a chunk of rows of ``size`` numbers, found for all of them at once."""
    kind = square.dtype.type
    zero, one = splat(kind(0)), splat(kind(1))
    share, least = splat(kind(1) / kind(size)), splat(kind(epsilon))
    for i in range(CHUNK):
        squares = zero
        for c in range(row + i * apart, row + i * apart + size, WIDTH):
            part = load(seen, c)
            squares = fused(part, part, squares)
        store(square, i * CHUNK, squares)
    store(shrinks, 0, quotient(one, root(fused(row_sums(square, 0, CHUNK), share, least))))


@inlined
def norm(
    seen: np.ndarray,
    found: int,
    gate: int,
    apart: int,
    weight: np.ndarray,
    width: int,
    epsilon: float,
    square: np.ndarray,
    normed: np.ndarray,
) -> None:
    """Write rms(x) weight silu(gate) (C, width); x and gate lie in rows that are ``apart``.

    ``square`` has room for C rows of C numbers and two more.
    """
    size, kind = weight.size, normed.dtype.type
    one, minus = splat(kind(1)), splat(kind(-LOG2_E))
    shrinks = square[CHUNK * CHUNK :]
    for h in range(0, width, size):
        scales(seen, found + h, apart, size, epsilon, square, shrinks)
        for c in range(h, h + size, WIDTH):
            weights = load(weight, c - h)
            for i in range(CHUNK):
                opened = load(seen, gate + i * apart + c)
                share = quotient(opened, fused(raised(product(opened, minus)), one, one))
                even = product(load(seen, found + i * apart + c), repeated(shrinks, i))
                store(normed, i * width + c, product(product(even, weights), share))


@inlined
def norm_back(
    dnormed: np.ndarray,
    seen: np.ndarray,
    found: int,
    gate: int,
    apart: int,
    weight: np.ndarray,
    width: int,
    epsilon: float,
    square: np.ndarray,
    normed: np.ndarray,
    begin: int,
    dfound: np.ndarray,
    dgate: np.ndarray,
    dgate_at: int,
    dgate_apart: int,
    dweight: np.ndarray,
) -> None:
    """Write what :func:`norm` would, from ``begin``, and the slopes; add that of the weight."""
    size, kind = weight.size, normed.dtype.type
    zero, one, less = splat(kind(0)), splat(kind(1)), splat(kind(-1))
    minus, share_of = splat(kind(-LOG2_E)), splat(kind(-1) / kind(size))
    shrinks = square[CHUNK * CHUNK :]
    for h in range(0, width, size):
        scales(seen, found + h, apart, size, epsilon, square, shrinks)
        for c in range(h, h + size, WIDTH):
            weights, dweights = load(weight, c - h), load(dweight, c - h)
            for i in range(CHUNK):
                at = i * width + c
                inner = load(dnormed, at)
                even = product(load(seen, found + i * apart + c), repeated(shrinks, i))
                opened = load(seen, gate + i * apart + c)
                half = quotient(one, fused(raised(product(opened, minus)), one, one))
                share = product(opened, half)
                turn = fused(share, fused(half, less, one), half)
                scaled = product(even, weights)
                store(normed, begin + at, product(scaled, share))
                slope = product(product(inner, turn), scaled)
                store(dgate, dgate_at + i * dgate_apart + c, slope)
                inner = product(inner, share)
                dweights = fused(inner, even, dweights)
                inner = product(inner, weights)
                store(dfound, at, inner)
                along = load(square, i * CHUNK) if c > h else zero
                store(square, i * CHUNK, fused(inner, even, along))
            store(dweight, c - h, dweights)
        store(shrinks, CHUNK, product(row_sums(square, 0, CHUNK), share_of))
        for c in range(h, h + size, WIDTH):
            for i in range(CHUNK):
                at = i * width + c
                shrink = repeated(shrinks, i)
                even = product(load(seen, found + i * apart + c), shrink)
                slope = fused(even, repeated(shrinks, CHUNK + i), load(dfound, at))
                store(dfound, at, product(slope, shrink))
