"""The loops of a rectified norm in single precision: one pass forward and one back.

Arrays: ``x``, ``y`` (rows, S) with S a multiple of ``WIDTH``, ``weight`` (S,), ``slope`` (1,).
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy import float32

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lane_masks import above_zero, where
from archsearch.kernels.lanes import WIDTH, fused, lessened, load, product, splat, store, total
from archsearch.kernels.norms.gated_norm import EPSILON
from archsearch.kernels.norms.gated_norm_loops import BLOCK

ZERO, ONE, SMALL = float32(0.0), float32(1.0), float32(EPSILON)

contracted = partial(compiled, contracted=True)


@contracted
def forward(
    x: np.ndarray, weight: np.ndarray, slope: np.ndarray, scales: np.ndarray, y: np.ndarray
) -> None:
    """``scales`` (rows,) receives one over the root mean square of each row."""
    rows, size = x.shape
    one, leak = splat(ONE), splat(slope[0])
    for row in range(rows):
        squares = splat(ZERO)
        for at in range(row * size, (row + 1) * size, WIDTH):
            part = load(x, at)
            squares = fused(part, part, squares)
        scales[row] = ONE / np.sqrt(total(squares) / float32(size) + SMALL)
        scale = splat(scales[row])
        for c in range(0, size, WIDTH):
            at = row * size + c
            normed = product(product(load(x, at), scale), load(weight, c))
            above = where(above_zero(normed), one)
            store(y, at, product(normed, fused(leak, lessened(one, above, one), above)))


@contracted
def backward(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray, slope: np.ndarray, scales: np.ndarray,
    dx: np.ndarray, dweight: np.ndarray, dslope: np.ndarray,
) -> None:  # fmt: skip
    """``dweight`` and ``dslope``, the latter (WIDTH,) to be summed, are zero at first."""
    rows, size = x.shape
    zero, one, leak = splat(ZERO), splat(ONE), splat(slope[0])
    block, leaked = np.zeros(size, float32), zero
    for row in range(rows):
        scale, along = splat(scales[row]), zero
        for c in range(0, size, WIDTH):
            at = row * size + c
            inner, weights = load(dy, at), load(weight, c)
            share = product(load(x, at), scale)
            normed = product(share, weights)
            above = where(above_zero(normed), one)
            below = lessened(one, above, one)
            leaked = fused(inner, product(normed, below), leaked)
            inner = product(inner, fused(leak, below, above))
            store(block, c, fused(inner, share, load(block, c)))
            inner = product(inner, weights)
            store(dx, at, inner)
            along = fused(inner, share, along)
        mean = splat(-total(along) / float32(size))
        for at in range(row * size, (row + 1) * size, WIDTH):
            share = product(load(x, at), scale)
            store(dx, at, product(fused(share, mean, load(dx, at)), scale))
        if row % BLOCK == BLOCK - 1 or row == rows - 1:
            for c in range(0, size, WIDTH):
                store(dweight, c, fused(one, load(block, c), load(dweight, c)))
                store(block, c, zero)
            store(dslope, 0, fused(one, leaked, load(dslope, 0)))
            leaked = zero
