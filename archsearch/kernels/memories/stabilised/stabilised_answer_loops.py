"""The loops of a norm per head, a direct path and a gate, in single precision.

Arrays: ``h``, ``direct``, ``y`` (rows, H S) with S a multiple of ``WIDTH``, ``scale``, ``skip``
(H S,); ``gate`` is a memory whose rows lie ``sizes[2]`` apart; ``sizes`` begins with H and S.
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
from archsearch.kernels.vector_math import inlined

LOG2_E = 1.4426950408889634
EPSILON = float32(1e-5)
# so many rows are summed before they join a longer sum, which keeps its rounding error small
BLOCK = 64

contracted = partial(compiled, contracted=True)


@inlined
def moments(h: np.ndarray, begin: int, size: int) -> tuple[float32, float32]:
    """The mean of a head, and one over its deviation."""
    one, sums = splat(float32(1)), splat(float32(0))
    for at in range(begin, begin + size, WIDTH):
        sums = fused(one, load(h, at), sums)
    mean = total(sums) / float32(size)
    less, squares = splat(-mean), splat(float32(0))
    for at in range(begin, begin + size, WIDTH):
        away = fused(one, load(h, at), less)
        squares = fused(away, away, squares)
    return mean, float32(1) / np.sqrt(total(squares) / float32(size) + EPSILON)


@contracted
def forward(
    h: np.ndarray,
    scale: np.ndarray,
    direct: np.ndarray,
    skip: np.ndarray,
    gate: np.ndarray,
    y: np.ndarray,
    sizes: np.ndarray,
) -> None:
    heads, size, apart = sizes
    width = heads * size
    one, minus = splat(float32(1)), splat(float32(-LOG2_E))
    for row in range(y.size // width):
        for head in range(0, width, size):
            mean, inverse = moments(h, row * width + head, size)
            less, spread = splat(-mean * inverse), splat(inverse)
            for c in range(head, head + size, WIDTH):
                at, opened = row * width + c, load(gate, row * apart + c)
                normed = fused(spread, load(h, at), less)
                joined = fused(normed, load(scale, c), product(load(skip, c), load(direct, at)))
                shut = power_of_two(product(opened, minus))
                store(y, at, quotient(product(joined, opened), fused(shut, one, one)))


@contracted
def backward(
    dy: np.ndarray,
    h: np.ndarray,
    scale: np.ndarray,
    direct: np.ndarray,
    skip: np.ndarray,
    gate: np.ndarray,
    dh: np.ndarray,
    dscale: np.ndarray,
    ddirect: np.ndarray,
    dskip: np.ndarray,
    dgate: np.ndarray,
    sizes: np.ndarray,
) -> None:
    """``dscale`` and ``dskip`` are zero at first; all slopes of rows are (rows, H S)."""
    heads, size, apart = sizes
    width = heads * size
    rows = dy.size // width
    zero, one = splat(float32(0)), splat(float32(1))
    minus, negative = splat(float32(-LOG2_E)), splat(float32(-1))
    scales, skips = np.zeros(width, float32), np.zeros(width, float32)
    for row in range(rows):
        for head in range(0, width, size):
            mean, inverse = moments(h, row * width + head, size)
            less, spread = splat(-mean * inverse), splat(inverse)
            sums, along = zero, zero
            for c in range(head, head + size, WIDTH):
                at, opened = row * width + c, load(gate, row * apart + c)
                normed = fused(spread, load(h, at), less)
                given, slope = load(direct, at), load(dy, at)
                joined = fused(normed, load(scale, c), product(load(skip, c), given))
                half = quotient(one, fused(power_of_two(product(opened, minus)), one, one))
                share = product(opened, half)
                # the slope of x s(x) is s + x s (1 - s)
                turn = fused(share, fused(half, negative, one), half)
                store(dgate, at, product(product(slope, joined), turn))
                slope = product(slope, share)
                store(ddirect, at, product(slope, load(skip, c)))
                store(skips, c, fused(slope, given, load(skips, c)))
                store(scales, c, fused(slope, normed, load(scales, c)))
                slope = product(slope, load(scale, c))
                store(dh, at, slope)
                sums = fused(one, slope, sums)
                along = fused(slope, normed, along)
            shift = splat(-total(sums) / float32(size))
            fall = splat(-total(along) / float32(size))
            for c in range(head, head + size, WIDTH):
                at = row * width + c
                normed = fused(spread, load(h, at), less)
                slope = fused(fall, normed, fused(one, load(dh, at), shift))
                store(dh, at, product(spread, slope))
        if row % BLOCK == BLOCK - 1 or row == rows - 1:
            for c in range(0, width, WIDTH):
                store(dskip, c, fused(load(skips, c), one, load(dskip, c)))
                store(dscale, c, fused(load(scales, c), one, load(dscale, c)))
                store(skips, c, zero)
                store(scales, c, zero)
