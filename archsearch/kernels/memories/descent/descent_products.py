"""Products of matrices and vectors of sixteen memories side by side, one memory in each lane.

A vector of N numbers is N times ``WIDTH`` numbers of an array, its ``span``; a matrix is its rows,
``ROWS`` of which are a tile, and their number a multiple of that. Vectors of several positions lie
one after the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import float32

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lane_functions import LOG2_E
from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.tiles import (
    columns,
    fused,
    less,
    load,
    plus,
    product,
    store,
    summed,
)

ROWS, TILE = 4, 4 * WIDTH
ZEROS, NUMBERS = np.zeros(ROWS, float32), np.array([1.0, LOG2_E], float32)


@inlined
def blank(count: int) -> np.ndarray:
    """Zeros, each ``WIDTH`` of which lie in one line of the processor's cache."""
    room = np.zeros((count + 1) * WIDTH, float32)
    begin = -(room.ctypes.data // 4) % WIDTH
    return room[begin : begin + count * WIDTH]


@inlined
def copy(source: np.ndarray, at: int, target: np.ndarray, to: int, span: int) -> None:
    for j in range(0, span, WIDTH):
        store(target, to + j, 0, load(source, at + j, 0, 1, WIDTH))


@inlined
def with_base(
    part: np.ndarray, at: int, base: np.ndarray, base_at: int, left: np.ndarray, left_at: int,
    target: np.ndarray, to: int, span: int,
) -> None:  # fmt: skip
    """A = B + ``left`` A_0, of which there is one number in each lane."""
    share = load(left, left_at, 0, 1, WIDTH)
    for j in range(0, span, WIDTH):
        whole = fused(share, load(base, base_at + j, 0, 1, WIDTH), load(part, at + j, 0, 1, WIDTH))
        store(target, to + j, 0, whole)


@inlined
def add(source: np.ndarray, at: int, target: np.ndarray, to: int, span: int) -> None:
    """``target`` += ``source``."""
    for j in range(0, span, WIDTH):
        both = plus(load(source, at + j, 0, 1, WIDTH), load(target, to + j, 0, 1, WIDTH))
        store(target, to + j, 0, both)


@inlined
def subtract(source: np.ndarray, at: int, target: np.ndarray, to: int, span: int) -> None:
    """``target`` -= ``source``."""
    for j in range(0, span, WIDTH):
        both = less(load(target, to + j, 0, 1, WIDTH), load(source, at + j, 0, 1, WIDTH))
        store(target, to + j, 0, both)


@inlined
def scale(target: np.ndarray, at: int, factor: Any, span: int) -> None:
    for j in range(0, span, WIDTH):
        store(target, at + j, 0, product(factor, load(target, at + j, 0, 1, WIDTH)))


@inlined
def times(target: np.ndarray, a: np.ndarray, b: np.ndarray, span: int) -> None:
    """``target`` = a b, number by number."""
    for j in range(0, span, WIDTH):
        store(target, j, 0, product(load(a, j, 0, 1, WIDTH), load(b, j, 0, 1, WIDTH)))


@inlined
def dot(a: np.ndarray, at: int, b: np.ndarray, to: int, span: int) -> Any:
    """The products of two vectors, of each lane its own."""
    sums = columns(ZEROS, 0, 1, WIDTH)
    for j in range(0, span, WIDTH):
        sums = fused(load(a, at + j, 0, 1, WIDTH), load(b, to + j, 0, 1, WIDTH), sums)
    return sums


@inlined
def fourth(a: np.ndarray, at: int, span: int) -> Any:
    """The sum of the fourth powers of a multiple of ``ROWS`` numbers."""
    sums = columns(ZEROS, 0, ROWS, WIDTH)
    for j in range(0, span, TILE):
        here = load(a, at + j, WIDTH, ROWS, WIDTH)
        square = product(here, here)
        sums = fused(square, square, sums)
    return summed(sums)


@inlined
def multiply(
    matrix: np.ndarray, at: int, rows: int, span: int, x: np.ndarray, x_at: int, count: int,
    out: np.ndarray, to: int,
) -> None:  # fmt: skip
    """A matrix times ``count`` vectors."""
    for i in range(0, rows, ROWS):
        for t in range(count):
            sums = columns(ZEROS, 0, ROWS, WIDTH)
            for j in range(0, span, WIDTH):
                part = load(matrix, at + i * span + j, span, ROWS, WIDTH)
                sums = fused(part, load(x, x_at + t * span + j, 0, 1, WIDTH), sums)
            store(out, to + (t * rows + i) * WIDTH, WIDTH, sums)


@inlined
def multiply_turned(
    matrix: np.ndarray, at: int, rows: int, span: int, x: np.ndarray, count: int, out: np.ndarray
) -> None:
    """Add the transpose of a matrix times ``count`` vectors to ``out``."""
    for i in range(0, rows, ROWS):
        for t in range(count):
            factor = load(x, (t * rows + i) * WIDTH, WIDTH, ROWS, WIDTH)
            for j in range(0, span, WIDTH):
                part = load(matrix, at + i * span + j, span, ROWS, WIDTH)
                found = summed(product(factor, part))
                place = t * span + j
                store(out, place, 0, plus(load(out, place, 0, 1, WIDTH), found))


@inlined
def add_outer(
    a: np.ndarray, b: np.ndarray, rows: int, span: int, count: int, matrix: np.ndarray, at: int
) -> None:
    """Add the outer products of ``count`` pairs of vectors to a matrix."""
    for i in range(0, rows, ROWS):
        for t in range(count):
            factor = load(a, (t * rows + i) * WIDTH, WIDTH, ROWS, WIDTH)
            for j in range(0, span, WIDTH):
                place = at + i * span + j
                part = load(b, t * span + j, 0, 1, WIDTH)
                now = load(matrix, place, span, ROWS, WIDTH)
                store(matrix, place, span, fused(factor, part, now))


@inlined
def pull(
    matrix: np.ndarray, dmatrix: np.ndarray, at: int, rows: int, span: int, x: np.ndarray,
    x_at: int, dx: np.ndarray, dx_at: int, count: int, slopes: np.ndarray,
) -> None:  # fmt: skip
    """Add the slopes of a matrix and of ``count`` vectors, given those of their products."""
    for i in range(0, rows, ROWS):
        for t in range(count):
            slope = load(slopes, (t * rows + i) * WIDTH, WIDTH, ROWS, WIDTH)
            for j in range(0, span, WIDTH):
                place, here = at + i * span + j, dx_at + t * span + j
                part = load(x, x_at + t * span + j, 0, 1, WIDTH)
                now = fused(slope, part, load(dmatrix, place, span, ROWS, WIDTH))
                store(dmatrix, place, span, now)
                found = summed(product(slope, load(matrix, place, span, ROWS, WIDTH)))
                store(dx, here, 0, plus(load(dx, here, 0, 1, WIDTH), found))
