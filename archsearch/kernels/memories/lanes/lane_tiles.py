"""Copies, turns and weighs the rows of a chunk and the memories of a head.

Rows are found by where the first begins and how far they are apart.
"""

from __future__ import annotations

import numpy as np

from archsearch.kernels.lanes import (
    WIDTH,
    fused,
    load,
    prefetch,
    product,
    repeated,
    splat,
    store,
    transpose,
)
from archsearch.kernels.memories.lanes.lane_paths import CHUNK
from archsearch.kernels.vector_math import inlined


@inlined
def take(
    rows: np.ndarray,
    begin: int,
    apart: int,
    count: int,
    size: int,
    tile: np.ndarray,
    to: int,
    under: int,
) -> None:
    """Copy ``count`` rows of ``size`` numbers to a tile; zeros where there is nothing to copy.

    A row of the tile is filled up to a multiple of ``WIDTH``.
    """
    zero = splat(tile.dtype.type(0))
    for i in range(CHUNK):
        at, there = begin + i * apart, to + i * under
        whole = size - size % WIDTH if i < count else 0
        for c in range(0, whole, WIDTH):
            store(tile, there + c, load(rows, at + c))
        for c in range(whole, size, WIDTH):
            store(tile, there + c, zero)
        if i < count:
            for c in range(whole, size):
                tile[there + c] = rows[at + c]


@inlined
def give(
    tile: np.ndarray,
    at: int,
    under: int,
    count: int,
    size: int,
    rows: np.ndarray,
    begin: int,
    apart: int,
) -> None:
    """Copy back what :func:`take` would copy."""
    whole = size - size % WIDTH
    for i in range(count):
        here, to = at + i * under, begin + i * apart
        for c in range(0, whole, WIDTH):
            store(rows, to + c, load(tile, here + c))
        for c in range(whole, size):
            rows[to + c] = tile[here + c]


@inlined
def turn(
    matrix: np.ndarray,
    at: int,
    apart: int,
    rows: int,
    columns: int,
    target: np.ndarray,
) -> None:
    """Write a matrix of so many rows and columns the other way round, without gaps."""
    for i in range(0, rows, WIDTH):
        for j in range(0, columns, WIDTH):
            transpose(matrix, at + i * apart + j, apart, target, j * rows + i, rows)


@inlined
def weigh(
    weights: np.ndarray,
    at: int,
    apart: int,
    rows: np.ndarray,
    begin: int,
    under: int,
    wide: int,
    target: np.ndarray,
) -> None:
    """Write a chunk of rows times a weight each, without gaps."""
    for i in range(CHUNK):
        weight = repeated(weights, at + i * apart)
        for c in range(0, wide, WIDTH):
            store(target, i * wide + c, product(weight, load(rows, begin + i * under + c)))


@inlined
def weigh_back(
    weights: np.ndarray,
    at: int,
    apart: int,
    slopes: np.ndarray,
    wide: int,
    rows: np.ndarray,
    begin: int,
    under: int,
    target: np.ndarray,
    to: int,
    below: int,
    squares: np.ndarray,
) -> None:
    """Add the slopes of weighed rows (C, wide) times a weight each to ``target``.

    ``squares`` (C, C) is left with rows that sum to the slopes of the weights.
    """
    zero = splat(slopes.dtype.type(0))
    for i in range(CHUNK):
        weight, sums = repeated(weights, at + i * apart), zero
        for c in range(0, wide, WIDTH):
            slope, there = load(slopes, i * wide + c), to + i * below + c
            store(target, there, fused(weight, slope, load(target, there)))
            sums = fused(slope, load(rows, begin + i * under + c), sums)
        store(squares, i * CHUNK, sums)


@inlined
def fill(
    left: np.ndarray, at: int, lanes: int, size: int, made: np.ndarray, to: int, wide: int
) -> None:
    """Copy the memories of a head to where there is room for whole blocks."""
    for row in range(lanes * size):
        begin = to + (row // size * wide + row % size) * wide
        for c in range(size):
            made[begin + c] = left[at + row * size + c]


@inlined
def empty(
    made: np.ndarray, at: int, wide: int, lanes: int, size: int, left: np.ndarray, to: int
) -> None:
    """Copy them back."""
    for row in range(lanes * size):
        begin = at + (row // size * wide + row % size) * wide
        for c in range(size):
            left[to + row * size + c] = made[begin + c]


@inlined
def foresee(rows: np.ndarray, begin: int, apart: int, size: int) -> None:
    """Ask for a chunk of rows, which need not exist."""
    for i in range(CHUNK):
        for c in range(0, size, WIDTH):
            prefetch(rows, begin + i * apart + c)
