"""The loops of a direct path, a gate and a norm in single precision, sixteen channels at once.

Arrays: ``x``, ``y`` (..., E) with E a multiple of ``WIDTH``, ``skip``, ``weight`` (E,); ``u`` and
``gate`` are memories whose rows lie ``apart[0]`` and ``apart[1]`` apart. A weight without elements
leaves the norm out.
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
    x: np.ndarray,
    u: np.ndarray,
    skip: np.ndarray,
    gate: np.ndarray,
    weight: np.ndarray,
    y: np.ndarray,
    apart: np.ndarray,
    epsilon: np.ndarray,
) -> None:
    size, normed = skip.size, weight.size > 0
    zero, one, minus = splat(float32(0)), splat(float32(1)), splat(float32(-LOG2_E))
    for row in range(x.size // size):
        squares = zero
        for c in range(0, size, WIDTH):
            at, opened = row * size + c, load(gate, row * apart[1] + c)
            joined = fused(load(skip, c), load(u, row * apart[0] + c), load(x, at))
            shut = power_of_two(product(opened, minus))
            found = quotient(product(joined, opened), fused(shut, one, one))
            squares = fused(found, found, squares)
            store(y, at, found)
        if normed:
            scale = splat(float32(1) / np.sqrt(total(squares) / float32(size) + epsilon[0]))
            for c in range(0, size, WIDTH):
                at = row * size + c
                store(y, at, product(product(load(y, at), scale), load(weight, c)))


@contracted
def backward(
    dy: np.ndarray,
    x: np.ndarray,
    u: np.ndarray,
    skip: np.ndarray,
    gate: np.ndarray,
    weight: np.ndarray,
    dx: np.ndarray,
    du: np.ndarray,
    dskip: np.ndarray,
    dgate: np.ndarray,
    dweight: np.ndarray,
    apart: np.ndarray,
    epsilon: np.ndarray,
) -> None:
    """``dskip`` and ``dweight`` are zero at first."""
    size, normed = skip.size, weight.size > 0
    rows = x.size // size
    zero, one, minus = splat(float32(0)), splat(float32(1)), splat(float32(-LOG2_E))
    joins, shares, turns = np.zeros(size, float32), np.zeros(size, float32), np.zeros(size, float32)
    skips, weights = np.zeros(size, float32), np.zeros(size, float32)
    for row in range(rows):
        squares, along = zero, zero
        for c in range(0, size, WIDTH):
            at, opened = row * size + c, load(gate, row * apart[1] + c)
            joined = fused(load(skip, c), load(u, row * apart[0] + c), load(x, at))
            half = quotient(one, fused(power_of_two(product(opened, minus)), one, one))
            share = product(opened, half)
            store(joins, c, joined)
            store(shares, c, share)
            # the slope of x s(x) is s + x s (1 - s)
            store(turns, c, fused(share, fused(half, splat(float32(-1)), one), half))
            if normed:
                found = product(joined, share)
                squares = fused(found, found, squares)
                along = fused(product(load(dy, at), load(weight, c)), found, along)
        scale, back = float32(1), float32(0)
        if normed:
            scale = float32(1) / np.sqrt(total(squares) / float32(size) + epsilon[0])
            back = -scale * scale * scale * total(along) / float32(size)
        scales, backs = splat(scale), splat(back)
        for c in range(0, size, WIDTH):
            at, slope = row * size + c, load(dy, row * size + c)
            joined, share, given = load(joins, c), load(shares, c), load(u, row * apart[0] + c)
            if normed:
                found = product(joined, share)
                store(weights, c, fused(slope, product(found, scales), load(weights, c)))
                slope = fused(backs, found, product(product(slope, load(weight, c)), scales))
            store(dgate, at, product(product(slope, joined), load(turns, c)))
            slope = product(slope, share)
            store(dx, at, slope)
            store(du, at, product(slope, load(skip, c)))
            store(skips, c, fused(slope, given, load(skips, c)))
        if row % BLOCK == BLOCK - 1 or row == rows - 1:
            for c in range(0, size, WIDTH):
                store(dskip, c, fused(load(skips, c), one, load(dskip, c)))
                store(skips, c, zero)
                if normed:
                    store(dweight, c, fused(load(weights, c), one, load(dweight, c)))
                    store(weights, c, zero)
