"""The loops of the products of all pairs of features: ``x`` (rows, N), ``y`` (rows, pairs).

A row of ``y`` has 1, x_1 ... x_N, then for each i the products of x_i with itself, less by the
root of a half, and with those that follow.
"""

from __future__ import annotations

import numpy as np

from archsearch.kernels.compiled import compiled

HALF = 0.5**0.5


@compiled
def forward(x: np.ndarray, y: np.ndarray) -> None:
    rows, size = x.shape
    half, one = x.dtype.type(HALF), x.dtype.type(1)
    for row in range(rows):
        y[row, 0] = one
        for j in range(size):
            y[row, 1 + j] = x[row, j]
        at = 1 + size
        for i in range(size):
            left = x[row, i]
            y[row, at] = left * (half * left)
            for j in range(i + 1, size):
                y[row, at + j - i] = left * x[row, j]
            at += size - i


@compiled
def backward(dy: np.ndarray, x: np.ndarray, dx: np.ndarray) -> None:
    rows, size = x.shape
    twice = x.dtype.type(2 * HALF)
    for row in range(rows):
        for j in range(size):
            dx[row, j] = dy[row, 1 + j]
        at = 1 + size
        for i in range(size):
            left = x[row, i]
            sums = twice * left * dy[row, at]
            for j in range(i + 1, size):
                slope = dy[row, at + j - i]
                sums += slope * x[row, j]
                dx[row, j] += slope * left
            dx[row, i] += sums
            at += size - i
