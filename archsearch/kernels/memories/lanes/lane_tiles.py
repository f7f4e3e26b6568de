"""Copies, turns and weighs the rows of a chunk and the memories of a head.

Rows are found by where the first begins and how far they are apart.
"""

from __future__ import annotations

import numpy as np

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import (
    WIDTH,
    fused,
    load,
    prefetch,
    product,
    repeated,
    splat,
    store,
)
from archsearch.kernels.memories.lanes.lane_paths import CHUNK
from archsearch.kernels.transpose import transpose


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
    to: int,
    below: int,
) -> None:
    """Write a chunk of rows times a weight each."""
    for i in range(CHUNK):
        weight = repeated(weights, at + i * apart)
        for c in range(0, wide, WIDTH):
            part = load(rows, begin + i * under + c)
            store(target, to + i * below + c, product(weight, part))


@inlined
def weigh_turned(
    weights: np.ndarray, at: int, turned: np.ndarray, wide: int, target: np.ndarray, to: int
) -> None:
    """Write a chunk of turned rows (wide, C) times a weight each."""
    weight = load(weights, at)
    for i in range(0, wide * CHUNK, WIDTH):
        store(target, to + i, product(weight, load(turned, i)))


@inlined
def weigh_back(
    weights: np.ndarray,
    at: int,
    turned: np.ndarray,
    wide: int,
    tile: np.ndarray,
    to: int,
    dturned: np.ndarray,
    added: bool,
    dweights: np.ndarray,
    into: int,
) -> None:
    """Write the slopes of turned rows, or add them, and those of their weights.

    ``tile`` from ``to`` holds the slopes of what :func:`weigh_turned` would write, then that.
    """
    zero = splat(tile.dtype.type(0))
    weight, sums = load(weights, at), zero
    for i in range(0, wide * CHUNK, WIDTH):
        slope, row = load(tile, to + i), load(turned, i)
        before = load(dturned, i) if added else zero
        store(dturned, i, fused(weight, slope, before))
        sums = fused(slope, row, sums)
        store(tile, to + i, product(weight, row))
    store(dweights, into, sums)


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
def foresee(rows: np.ndarray, begin: int, count: int, apart: int, size: int) -> None:
    """Ask for rows, which need not exist."""
    for i in range(count):
        for c in range(0, size, WIDTH):
            prefetch(rows, begin + i * apart + c)


@inlined
def foresee_part(rows: np.ndarray, begin: int, size: int, part: int, parts: int) -> None:
    """Ask for one of so many parts of ``size`` numbers: for too many at once one has to wait."""
    each = -(-size // (parts * WIDTH)) * WIDTH
    for at in range(part * each, min(size, (part + 1) * each), WIDTH):
        prefetch(rows, begin + at)
