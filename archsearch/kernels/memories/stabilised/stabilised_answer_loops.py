"""The loops of a norm per head, a direct path and a gate, in single precision.

Arrays: ``h``, ``direct``, ``y`` (rows, H S) with S a multiple of ``WIDTH``, ``scale``, ``skip``
(H S,); ``gate`` is a memory whose rows lie ``sizes[2]`` apart; ``sizes`` begins with H and S.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy import float32

from archsearch.kernels.compiled import compiled
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
from archsearch.kernels.memories.stabilised.stabilised_rows import inverse_root, totals

LOG2_E = 1.4426950408889634
EPSILON = float32(1e-5)

SQUARE = WIDTH * WIDTH

contracted = partial(compiled, contracted=True)


@inlined
def moments(
    h: np.ndarray, at: int, apart: int, count: int, size: int, means: np.ndarray, room: np.ndarray
) -> None:
    """The means (C,) of a head in up to C rows, and behind them one over its deviations."""
    one, share = splat(float32(1)), splat(float32(1) / float32(size))
    for i in range(count):
        sums = load(h, at + i * apart)
        for c in range(WIDTH, size, WIDTH):
            sums = fused(one, load(h, at + i * apart + c), sums)
        store(room, SQUARE + i * WIDTH, sums)
    store(means, 0, product(share, totals(room[SQUARE:], room)))
    for i in range(count):
        less, squares = splat(-means[i]), splat(float32(0))
        for c in range(0, size, WIDTH):
            away = fused(one, load(h, at + i * apart + c), less)
            squares = fused(away, away, squares)
        store(room, SQUARE + i * WIDTH, squares)
    spread = fused(share, totals(room[SQUARE:], room), splat(EPSILON))
    store(means, WIDTH, inverse_root(spread))


@inlined
def close(
    h: np.ndarray,
    at: int,
    scale: np.ndarray,
    direct: np.ndarray,
    direct_at: int,
    skip: np.ndarray,
    gate: np.ndarray,
    gate_at: int,
    apart: int,
    y: np.ndarray,
    to: int,
    count: int,
    heads: int,
    size: int,
    means: np.ndarray,
    room: np.ndarray,
) -> None:
    """Write up to C rows of answers; ``means`` (2, C) and ``room`` (2, C, C) are scratch."""
    one, minus = splat(float32(1)), splat(float32(-LOG2_E))
    width = heads * size
    for head in range(0, width, size):
        moments(h, at + head, width, count, size, means, room)
        for i in range(count):
            less, spread = splat(-means[i] * means[WIDTH + i]), splat(means[WIDTH + i])
            for c in range(head, head + size, WIDTH):
                opened, row = load(gate, gate_at + i * apart + c), i * width + c
                normed = fused(spread, load(h, at + row), less)
                straight = product(load(skip, c), load(direct, direct_at + row))
                joined = fused(normed, load(scale, c), straight)
                shut = power_of_two(product(opened, minus))
                store(y, to + row, quotient(product(joined, opened), fused(shut, one, one)))


@inlined
def close_back(
    dy: np.ndarray,
    dy_at: int,
    h: np.ndarray,
    at: int,
    scale: np.ndarray,
    direct: np.ndarray,
    direct_at: int,
    skip: np.ndarray,
    gate: np.ndarray,
    gate_at: int,
    apart: int,
    dh: np.ndarray,
    ddirect: np.ndarray,
    to: int,
    dgate: np.ndarray,
    dgate_at: int,
    under: int,
    scales: np.ndarray,
    skips: np.ndarray,
    y: np.ndarray,
    y_at: int,
    count: int,
    heads: int,
    size: int,
    means: np.ndarray,
    room: np.ndarray,
) -> None:
    """Write slopes of up to C rows, and their answers to ``y`` where that has room; add sums.

    Rows of ``dgate`` lie ``under`` apart.
    """
    zero, one = splat(float32(0)), splat(float32(1))
    minus, negative = splat(float32(-LOG2_E)), splat(float32(-1))
    width, parts, share_of_one = heads * size, 2 * SQUARE, splat(float32(-1) / float32(size))
    for head in range(0, width, size):
        moments(h, at + head, width, count, size, means, room)
        for i in range(count):
            less, spread = splat(-means[i] * means[WIDTH + i]), splat(means[WIDTH + i])
            sums, along = zero, zero
            for c in range(head, head + size, WIDTH):
                opened, row = load(gate, gate_at + i * apart + c), i * width + c
                normed = fused(spread, load(h, at + row), less)
                given, slope = load(direct, direct_at + row), load(dy, dy_at + row)
                joined = fused(normed, load(scale, c), product(load(skip, c), given))
                half = quotient(one, fused(power_of_two(product(opened, minus)), one, one))
                share = product(opened, half)
                if y.size > 0:
                    store(y, y_at + row, product(joined, share))
                # the slope of x s(x) is s + x s (1 - s)
                turn = fused(share, fused(half, negative, one), half)
                store(dgate, dgate_at + i * under + c, product(product(slope, joined), turn))
                slope = product(slope, share)
                store(ddirect, to + row, product(slope, load(skip, c)))
                store(skips, c, fused(slope, given, load(skips, c)))
                store(scales, c, fused(slope, normed, load(scales, c)))
                slope = product(slope, load(scale, c))
                store(dh, to + row, slope)
                sums = fused(one, slope, sums)
                along = fused(slope, normed, along)
            store(room, SQUARE + i * WIDTH, sums)
            store(room, parts + i * WIDTH, along)
        shifts = product(share_of_one, totals(room[SQUARE:], room))
        falls = product(share_of_one, totals(room[parts:], room))
        store(room, 0, shifts)
        store(room, WIDTH, falls)
        for i in range(count):
            less, spread = splat(-means[i] * means[WIDTH + i]), splat(means[WIDTH + i])
            shift, fall = splat(room[i]), splat(room[WIDTH + i])
            for c in range(head, head + size, WIDTH):
                row = i * width + c
                normed = fused(spread, load(h, at + row), less)
                slope = fused(fall, normed, fused(one, load(dh, to + row), shift))
                store(dh, to + row, product(spread, slope))


@inlined
def join_sums(sums: np.ndarray, dweight: np.ndarray) -> None:
    """Add sums of some rows to those of all, and begin anew."""
    zero, one = splat(float32(0)), splat(float32(1))
    for c in range(0, sums.size, WIDTH):
        store(dweight, c, fused(load(sums, c), one, load(dweight, c)))
        store(sums, c, zero)


@contracted
def forward(
    h: np.ndarray,
    scale: np.ndarray,
    direct: np.ndarray,
    skip: np.ndarray,
    gate: np.ndarray,
    y: np.ndarray,
    sizes: np.ndarray,
) -> None:
    heads, size, apart = sizes
    width = heads * size
    rows = y.size // width
    means, room = np.zeros(2 * WIDTH, float32), np.zeros(2 * SQUARE, float32)
    for row in range(0, rows, WIDTH):
        at, count = row * width, min(WIDTH, rows - row)
        close(
            *(h, at, scale, direct, at, skip, gate, row * apart, apart),
            *(y, at, count, heads, size, means, room),
        )


@contracted
def backward(
    dy: np.ndarray,
    h: np.ndarray,
    scale: np.ndarray,
    direct: np.ndarray,
    skip: np.ndarray,
    gate: np.ndarray,
    dh: np.ndarray,
    dscale: np.ndarray,
    ddirect: np.ndarray,
    dskip: np.ndarray,
    dgate: np.ndarray,
    sizes: np.ndarray,
) -> None:
    """``dscale`` and ``dskip`` are zero at first; all slopes of rows are (rows, H S)."""
    heads, size, apart = sizes
    width = heads * size
    rows = dy.size // width
    scales, skips, nothing = np.zeros(width, float32), np.zeros(width, float32), dy[:0].ravel()
    dy = dy.ravel()
    means, room = np.zeros(2 * WIDTH, float32), np.zeros(3 * SQUARE, float32)
    for row in range(0, rows, WIDTH):
        at, count = row * width, min(WIDTH, rows - row)
        close_back(
            *(dy, at, h, at, scale, direct, at, skip, gate, row * apart, apart),
            *(dh, ddirect, at, dgate, at, width, scales, skips, nothing, 0),
            *(count, heads, size, means, room),
        )
        join_sums(skips, dskip)
        join_sums(scales, dscale)
