"""The loops of a norm under a gate in single precision: one pass forward and one back.

Arrays: ``x``, ``gate``, ``y`` (rows, S) with S a multiple of ``WIDTH``, ``weight`` (S,). A gate
without elements is left out.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy import float32

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import (
    WIDTH,
    fused,
    load,
    power_of_two,
    product,
    quotient,
    splat,
    store,
    total,
)

LOG2_E = 1.4426950408889634
# so many rows are summed before they join a longer sum, which keeps its rounding error small
BLOCK = 64

contracted = partial(compiled, contracted=True)


@contracted
def forward(
    x: np.ndarray, weight: np.ndarray, gate: np.ndarray, epsilon: np.ndarray, y: np.ndarray
) -> None:
    rows, size = x.shape
    zero, one, minus = splat(float32(0)), splat(float32(1)), splat(float32(-LOG2_E))
    for row in range(rows):
        squares = zero
        for at in range(row * size, (row + 1) * size, WIDTH):
            part = load(x, at)
            squares = fused(part, part, squares)
        scale = splat(float32(1) / np.sqrt(total(squares) / float32(size) + epsilon[0]))
        for c in range(0, size, WIDTH):
            at = row * size + c
            normed = product(product(load(x, at), scale), load(weight, c))
            if gate.size > 0:
                opened = load(gate, at)
                share = quotient(opened, fused(power_of_two(product(opened, minus)), one, one))
                normed = product(normed, share)
            store(y, at, normed)


@contracted
def backward(
    dy: np.ndarray,
    x: np.ndarray,
    weight: np.ndarray,
    gate: np.ndarray,
    epsilon: np.ndarray,
    dx: np.ndarray,
    dweight: np.ndarray,
    dgate: np.ndarray,
) -> None:
    """``dweight`` is zero at first."""
    rows, size = x.shape
    zero, one, minus = splat(float32(0)), splat(float32(1)), splat(float32(-LOG2_E))
    block = np.zeros(size, float32)
    for row in range(rows):
        squares = zero
        for at in range(row * size, (row + 1) * size, WIDTH):
            part = load(x, at)
            squares = fused(part, part, squares)
        scale = float32(1) / np.sqrt(total(squares) / float32(size) + epsilon[0])
        scales, along = splat(scale), zero
        for c in range(0, size, WIDTH):
            at = row * size + c
            inner, weights = load(dy, at), load(weight, c)
            normed = product(load(x, at), scales)
            if gate.size > 0:
                opened = load(gate, at)
                half = quotient(one, fused(power_of_two(product(opened, minus)), one, one))
                share = product(opened, half)
                # the slope of x s(x) is s + x s (1 - s)
                turn = fused(share, fused(half, splat(float32(-1)), one), half)
                store(dgate, at, product(product(inner, turn), product(normed, weights)))
                inner = product(inner, share)
            store(block, c, fused(inner, normed, load(block, c)))
            inner = product(inner, weights)
            store(dx, at, inner)
            along = fused(inner, normed, along)
        mean = splat(-total(along) / float32(size))
        for at in range(row * size, (row + 1) * size, WIDTH):
            normed = product(load(x, at), scales)
            store(dx, at, product(fused(normed, mean, load(dx, at)), scales))
        if row % BLOCK == BLOCK - 1 or row == rows - 1:
            for c in range(0, size, WIDTH):
                store(dweight, c, fused(load(block, c), one, load(dweight, c)))
                store(block, c, zero)
