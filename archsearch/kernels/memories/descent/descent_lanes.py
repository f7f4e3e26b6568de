"""Rows and heads side by side in lanes, and back."""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import WIDTH, load, store
from archsearch.kernels.transpose import transpose

contracted = partial(compiled, contracted=True)


@inlined
def move(source: np.ndarray, at: int, target: np.ndarray, to: int, count: int) -> None:
    """Copy neighbours."""
    whole = count - count % WIDTH
    for j in range(0, whole, WIDTH):
        store(target, to + j, load(source, at + j))
    for j in range(whole, count):
        target[to + j] = source[at + j]


@contracted
def into_lanes(source: np.ndarray, target: np.ndarray, places: np.ndarray) -> None:
    """``target`` (G, T, d, C) of all memories of x (B, H, T, d), in which d numbers are neighbours.

    ``places`` has B, H and how far rows, heads and positions lie apart. Lanes without a memory
    are zero.
    """
    batch, heads, row_apart, head_apart, apart = places
    groups, steps, size, _ = target.shape
    wide = size + -size % WIDTH
    rows, square = np.zeros(WIDTH * wide, source.dtype), np.zeros(WIDTH * WIDTH, source.dtype)
    to, starts = target.ravel(), np.zeros(WIDTH, np.int64)
    for g in range(groups):
        count = min(WIDTH, batch * heads - g * WIDTH)
        rows[count * wide :] = 0
        for lane in range(count):
            row, head = divmod(g * WIDTH + lane, heads)
            starts[lane] = row * row_apart + head * head_apart
        for t in range(steps):
            begin = (g * steps + t) * size * WIDTH
            for lane in range(count):
                move(source, starts[lane] + t * apart, rows, lane * wide, size)
            for j in range(0, size - size % WIDTH, WIDTH):
                transpose(rows, j, wide, to, begin + j * WIDTH, WIDTH)
            if size % WIDTH > 0:
                j = size - size % WIDTH
                transpose(rows, j, wide, square, 0, WIDTH)
                for i in range(size - j):
                    store(to, begin + (j + i) * WIDTH, load(square, i * WIDTH))


@contracted
def out_of_lanes(source: np.ndarray, target: np.ndarray) -> None:
    """``target`` (B, T, H, d) of (G, T, d, C)."""
    batch, steps, heads, size = target.shape
    wide = size + -size % WIDTH
    rows, columns = np.zeros(WIDTH * wide, source.dtype), np.zeros(WIDTH * wide, source.dtype)
    to, given, starts = target.ravel(), source.ravel(), np.zeros(WIDTH, np.int64)
    for g in range(len(source)):
        count = min(WIDTH, batch * heads - g * WIDTH)
        for lane in range(count):
            row, head = divmod(g * WIDTH + lane, heads)
            starts[lane] = (row * steps * heads + head) * size
        for t in range(steps):
            begin = (g * steps + t) * size * WIDTH
            move(given, begin, columns, 0, size * WIDTH)
            for j in range(0, wide, WIDTH):
                transpose(columns, j * WIDTH, WIDTH, rows, j, wide)
            for lane in range(count):
                move(rows, lane * wide, to, starts[lane] + t * heads * size, size)
