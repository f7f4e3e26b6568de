"""How sixteen memories keep what they have learned: W for A, and the slopes of A.

Laid out as in :mod:`archsearch.kernels.memories.descent.descent_products`. A row's softmax is
2^(a log2(e) - most) over its sum, of which ``most`` and 1 over the sum are kept, two vectors of
as many numbers as there are rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import float32

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.memories.descent.descent_products import (
    NUMBERS,
    ROWS,
    ZEROS,
    copy,
    dot,
    fourth,
    scale,
)
from archsearch.kernels.tiles import (
    columns,
    fused,
    larger,
    less,
    load,
    plus,
    product,
    quotient,
    share,
    store,
)

ONE = float32(1.0)


@inlined
def measure(
    a: np.ndarray, at: int, span: int, most: np.ndarray, most_at: int, part: np.ndarray,
    part_at: int,
) -> None:  # fmt: skip
    """Of ``ROWS`` rows that are to be spread, what they are lessened by and 1 over their sums."""
    binary = columns(NUMBERS, 1, 1, WIDTH)
    top = load(a, at, span, ROWS, WIDTH)
    for j in range(WIDTH, span, WIDTH):
        top = larger(load(a, at + j, span, ROWS, WIDTH), top)
    top, sums = product(binary, top), columns(ZEROS, 0, ROWS, WIDTH)
    for j in range(0, span, WIDTH):
        here = product(binary, load(a, at + j, span, ROWS, WIDTH))
        sums = plus(sums, share(less(here, top)))
    store(most, most_at, WIDTH, top)
    store(part, part_at, WIDTH, quotient(columns(NUMBERS, 0, 1, WIDTH), sums))


@inlined
def spread(here: Any, most: Any, part: Any) -> Any:
    """A column of rows of W, given that of A."""
    return product(part, share(less(product(columns(NUMBERS, 1, 1, WIDTH), here), most)))


@inlined
def shrinkage(power: np.ndarray, at: int, factor: np.ndarray) -> None:
    """1 over the square root of a sum of fourth powers, or 1 where that is more."""
    for lane in range(WIDTH):
        s = power[at + lane]
        factor[lane] = ONE / np.sqrt(ONE if s < ONE else s)


@inlined
def cube_share(power: np.ndarray, at: int, inner: Any, room: np.ndarray) -> Any:
    """What a^3 adds to the slope of a, of f a; ``inner`` is the slope times f a.

    With f = s^(-1/2) of a sum s of fourth powers: -2 / s times ``inner``, 0 where s < 1.
    """
    for lane in range(WIDTH):
        s = power[at + lane]
        room[lane] = float32(0.0) if s < ONE else float32(-2.0) / s
    return product(load(room, 0, 0, 1, WIDTH), inner)


@inlined
def retain(
    source: np.ndarray, start: int, rows: int, span: int, norm: int, spreads: int,
    room: np.ndarray, target: np.ndarray, to: int,
) -> None:  # fmt: skip
    """W, of which ``to`` is the place, for A, which begins at ``start``; ``room`` (2 ROWS C)."""
    length, at = rows * span, start + to
    copy(source, at, target, to, length)
    if spreads:
        for i in range(0, length, ROWS * span):
            measure(source, at + i, span, room, 0, room, ROWS * WIDTH)
            most = load(room, 0, WIDTH, ROWS, WIDTH)
            part = load(room, ROWS * WIDTH, WIDTH, ROWS, WIDTH)
            for j in range(to + i, to + i + span, WIDTH):
                here = load(target, j, span, ROWS, WIDTH)
                store(target, j, span, spread(here, most, part))
    if norm > 2:
        store(room, WIDTH, 0, fourth(source, at, length))
        shrinkage(room, WIDTH, room)
        scale(target, to, load(room, 0, 0, 1, WIDTH), length)


@inlined
def unretain(
    source: np.ndarray, start: int, rows: int, span: int, norm: int, spreads: int,
    room: np.ndarray, weights: np.ndarray, slopes: np.ndarray, to: int, target: np.ndarray,
    target_at: int,
) -> None:  # fmt: skip
    """Add the slope of A to ``target``, given W and its slope; ``room`` (2 ROWS C)."""
    length, at, end = rows * span, start + to, target_at + to
    factor = columns(NUMBERS, 0, 1, WIDTH)
    if spreads:
        for i in range(0, length, span):
            mean = dot(weights, to + i, slopes, to + i, span)
            for j in range(i, i + span, WIDTH):
                apart = less(load(slopes, to + j, 0, 1, WIDTH), mean)
                store(slopes, to + j, 0, product(load(weights, to + j, 0, 1, WIDTH), apart))
    if norm > 2:
        store(room, WIDTH, 0, fourth(source, at, length))
        cubes = cube_share(room, WIDTH, dot(weights, to, slopes, to, length), room)
        shrinkage(room, WIDTH, room)
        factor = load(room, 0, 0, 1, WIDTH)
        for j in range(0, length, WIDTH):
            here, now = load(source, at + j, 0, 1, WIDTH), load(target, end + j, 0, 1, WIDTH)
            store(target, end + j, 0, fused(cubes, product(product(here, here), here), now))
    for j in range(0, length, WIDTH):
        now = load(target, end + j, 0, 1, WIDTH)
        store(target, end + j, 0, fused(factor, load(slopes, to + j, 0, 1, WIDTH), now))
