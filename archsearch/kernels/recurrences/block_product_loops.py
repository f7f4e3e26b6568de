"""The loops of a product with blocks of four: four products of lanes turned in their groups.

Arrays: ``x`` and ``y`` (rows, E) with E a multiple of ``WIDTH``, ``weights`` (4, E), row d what
multiplies the element d places on in its block.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import WIDTH, fused, load, product, splat, store, turned

contracted = partial(compiled, contracted=True)
# so many rows are summed before they join a longer sum, which keeps its rounding error small
BLOCK = 64


@contracted
def forward(x: np.ndarray, weights: np.ndarray, y: np.ndarray) -> None:
    rows, size = x.shape
    for c in range(0, size, WIDTH):
        first, second = load(weights, c), load(weights, size + c)
        third, fourth = load(weights, 2 * size + c), load(weights, 3 * size + c)
        for at in range(c, rows * size, size):
            part = load(x, at)
            sums = fused(first, part, product(second, turned(part, 1)))
            store(y, at, fused(third, turned(part, 2), fused(fourth, turned(part, 3), sums)))


@contracted
def backward(
    dy: np.ndarray, x: np.ndarray, weights: np.ndarray, dx: np.ndarray, dweights: np.ndarray
) -> None:
    """``dweights`` is zero at first."""
    rows, size = x.shape
    zero, one = splat(x.dtype.type(0)), splat(x.dtype.type(1))
    for c in range(0, size, WIDTH):
        first, second = load(weights, c), load(weights, size + c)
        third, fourth = load(weights, 2 * size + c), load(weights, 3 * size + c)
        for begin in range(0, rows, BLOCK):
            d0, d1, d2, d3 = zero, zero, zero, zero
            for row in range(begin, min(begin + BLOCK, rows)):
                slope, part = load(dy, row * size + c), load(x, row * size + c)
                d0 = fused(slope, part, d0)
                d1 = fused(slope, turned(part, 1), d1)
                d2 = fused(slope, turned(part, 2), d2)
                d3 = fused(slope, turned(part, 3), d3)
                back = fused(first, slope, turned(product(second, slope), 3))
                back = fused(one, turned(product(third, slope), 2), back)
                back = fused(one, turned(product(fourth, slope), 1), back)
                store(dx, row * size + c, back)
            store(dweights, c, fused(one, d0, load(dweights, c)))
            store(dweights, size + c, fused(one, d1, load(dweights, size + c)))
            store(dweights, 2 * size + c, fused(one, d2, load(dweights, 2 * size + c)))
            store(dweights, 3 * size + c, fused(one, d3, load(dweights, 3 * size + c)))
