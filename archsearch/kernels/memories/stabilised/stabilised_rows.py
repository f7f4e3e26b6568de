"""What the loops of a stabilised memory do with the rows of a chunk of ``WIDTH`` positions."""

from __future__ import annotations

import numpy as np

from archsearch.kernels.lanes import WIDTH, fused, load, splat, store, transpose
from archsearch.kernels.vector_math import inlined

LINE = 64  # bytes


@inlined
def blank(count: int, like: np.ndarray) -> np.ndarray:
    """Zeros that begin where a line of the cache does."""
    room = np.zeros(count + LINE // like.itemsize, like.dtype)
    begin = -room.ctypes.data % LINE // like.itemsize
    return room[begin : begin + count]


@inlined
def gather(
    x: np.ndarray, at: int, apart: int, size: int, count: int, y: np.ndarray, wide: int
) -> None:
    """Copy ``count`` rows of ``size`` to rows of ``wide``, and put zeros in the rest of a chunk."""
    for i in range(count):
        if size == wide:
            for c in range(0, wide, WIDTH):
                store(y, i * wide + c, load(x, at + i * apart + c))
        else:
            for c in range(size):
                y[i * wide + c] = x[at + i * apart + c]
    for i in range(count * wide, WIDTH * wide):
        y[i] = 0


@inlined
def scatter(
    x: np.ndarray, wide: int, count: int, y: np.ndarray, at: int, apart: int, size: int
) -> None:
    """Copy rows of ``wide`` to ``count`` shorter ones."""
    for i in range(count):
        if size == wide:
            for c in range(0, wide, WIDTH):
                store(y, at + i * apart + c, load(x, i * wide + c))
        else:
            for c in range(size):
                y[at + i * apart + c] = x[i * wide + c]


@inlined
def turn(x: np.ndarray, rows: int, columns: int, y: np.ndarray) -> None:
    """Write x (rows, columns) turned, both sizes multiples of ``WIDTH``."""
    for i in range(0, rows, WIDTH):
        for j in range(0, columns, WIDTH):
            transpose(x, i * columns + j, columns, y, j * rows + i, rows)


@inlined
def totals(x: np.ndarray, turned: np.ndarray, y: np.ndarray) -> None:
    """The sums (C,) of the rows of x (C, C)."""
    transpose(x, 0, WIDTH, turned, 0, WIDTH)
    one = splat(x.dtype.type(1))
    sums = load(turned, 0)
    for i in range(WIDTH, WIDTH * WIDTH, WIDTH):
        sums = fused(one, load(turned, i), sums)
    store(y, 0, sums)
