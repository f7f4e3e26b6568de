"""The loops that scale vectors to length one: arrays (rows, S), S a multiple of ``WIDTH``.

``scale`` (rows,) is what a row was multiplied by.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import WIDTH, fused, load, product, splat, store, total

contracted = partial(compiled, contracted=True)


@contracted
def forward(x: np.ndarray, shortest: np.ndarray, y: np.ndarray, scale: np.ndarray) -> None:
    rows, size = x.shape
    zero, one = splat(x.dtype.type(0)), x.dtype.type(1)
    for row in range(rows):
        squares = zero
        for at in range(row * size, (row + 1) * size, WIDTH):
            part = load(x, at)
            squares = fused(part, part, squares)
        length = np.sqrt(total(squares))
        scale[row] = one / (shortest[0] if length < shortest[0] else length)
        for at in range(row * size, (row + 1) * size, WIDTH):
            store(y, at, product(load(x, at), splat(scale[row])))


@contracted
def backward(
    dy: np.ndarray, y: np.ndarray, scale: np.ndarray, shortest: np.ndarray, dx: np.ndarray
) -> None:
    rows, size = y.shape
    zero, none = splat(y.dtype.type(0)), y.dtype.type(0)
    longest = y.dtype.type(1) / shortest[0]
    for row in range(rows):
        along = zero
        for at in range(row * size, (row + 1) * size, WIDTH):
            along = fused(load(dy, at), load(y, at), along)
        # a vector that is too short is divided by a constant
        back = splat(none if scale[row] == longest else -total(along))
        for at in range(row * size, (row + 1) * size, WIDTH):
            store(dx, at, product(fused(load(y, at), back, load(dy, at)), splat(scale[row])))
