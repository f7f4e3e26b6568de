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
from archsearch.kernels.inlined import inlined
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


@inlined
def open_row(
    x: np.ndarray,
    at: int,
    u: np.ndarray,
    given: int,
    skip: np.ndarray,
    gate: np.ndarray,
    opens: int,
    weight: np.ndarray,
    y: np.ndarray,
    to: int,
    epsilon: float32,
) -> None:
    """Write one row, whose parts begin at the places after them."""
    size, normed = skip.size, weight.size > 0
    zero, one, minus = splat(float32(0)), splat(float32(1)), splat(float32(-LOG2_E))
    squares = zero
    for c in range(0, size, WIDTH):
        opened = load(gate, opens + c)
        joined = fused(load(skip, c), load(u, given + c), load(x, at + c))
        shut = power_of_two(product(opened, minus))
        found = quotient(product(joined, opened), fused(shut, one, one))
        squares = fused(found, found, squares)
        store(y, to + c, found)
    if normed:
        scale = splat(float32(1) / np.sqrt(total(squares) / float32(size) + epsilon))
        for c in range(0, size, WIDTH):
            store(y, to + c, product(product(load(y, to + c), scale), load(weight, c)))


@inlined
def open_row_back(
    dy: np.ndarray,
    slope_at: int,
    x: np.ndarray,
    at: int,
    u: np.ndarray,
    given_at: int,
    skip: np.ndarray,
    gate: np.ndarray,
    opens: int,
    weight: np.ndarray,
    dx: np.ndarray,
    dx_at: int,
    du: np.ndarray,
    du_at: int,
    dgate: np.ndarray,
    dgate_at: int,
    sums: np.ndarray,
    y: np.ndarray,
    to: int,
    epsilon: float32,
) -> None:
    """Write the slopes of one row, and the row itself, normed, where ``y`` has room for it.

    ``sums`` (5, E) has the sums so far of the slopes of ``skip`` and ``weight``, and behind them
    the row before the norm in two factors, and a scratch row.
    """
    size, normed = skip.size, weight.size > 0
    joins, shares, turns, weights = 2 * size, 3 * size, 4 * size, size
    zero, one, minus = splat(float32(0)), splat(float32(1)), splat(float32(-LOG2_E))
    squares, along = zero, zero
    for c in range(0, size, WIDTH):
        opened = load(gate, opens + c)
        joined = fused(load(skip, c), load(u, given_at + c), load(x, at + c))
        half = quotient(one, fused(power_of_two(product(opened, minus)), one, one))
        share = product(opened, half)
        store(sums, joins + c, joined)
        store(sums, shares + c, share)
        # the slope of x s(x) is s + x s (1 - s)
        store(sums, turns + c, fused(share, fused(half, splat(float32(-1)), one), half))
        if normed:
            found = product(joined, share)
            squares = fused(found, found, squares)
            along = fused(product(load(dy, slope_at + c), load(weight, c)), found, along)
    scale, back = float32(1), float32(0)
    if normed:
        scale = float32(1) / np.sqrt(total(squares) / float32(size) + epsilon)
        back = -scale * scale * scale * total(along) / float32(size)
    scales, backs = splat(scale), splat(back)
    for c in range(0, size, WIDTH):
        slope, given = load(dy, slope_at + c), load(u, given_at + c)
        joined, share = load(sums, joins + c), load(sums, shares + c)
        if normed:
            found = product(joined, share)
            more = fused(slope, product(found, scales), load(sums, weights + c))
            store(sums, weights + c, more)
            if y.size > 0:
                store(y, to + c, product(product(found, scales), load(weight, c)))
            slope = fused(backs, found, product(product(slope, load(weight, c)), scales))
        store(dgate, dgate_at + c, product(product(slope, joined), load(sums, turns + c)))
        slope = product(slope, share)
        store(dx, dx_at + c, slope)
        store(du, du_at + c, product(slope, load(skip, c)))
        store(sums, c, fused(slope, given, load(sums, c)))


@inlined
def join_sums(sums: np.ndarray, begin: int, y: np.ndarray) -> None:
    """Add sums so far to longer ones, and begin anew."""
    zero, one = splat(float32(0)), splat(float32(1))
    for c in range(0, y.size, WIDTH):
        store(y, c, fused(load(sums, begin + c), one, load(y, c)))
        store(sums, begin + c, zero)


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
    size, given, found = skip.size, x.ravel(), y.ravel()
    for row in range(x.size // size):
        at = row * size
        open_row(
            *(given, at, u, row * apart[0], skip, gate, row * apart[1]),
            *(weight, found, at, epsilon[0]),
        )


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
    size = skip.size
    rows = x.size // size
    sums, nothing = np.zeros(5 * size, float32), np.zeros(0, float32)
    slopes, given = dy.ravel(), x.ravel()
    dgiven, straight, opened = dx.ravel(), du.ravel(), dgate.ravel()
    for row in range(rows):
        at = row * size
        open_row_back(
            *(slopes, at, given, at, u, row * apart[0], skip, gate, row * apart[1], weight),
            *(dgiven, at, straight, at, opened, at, sums, nothing, 0, epsilon[0]),
        )
        if row % BLOCK == BLOCK - 1 or row == rows - 1:
            join_sums(sums, 0, dskip)
            join_sums(sums, size, dweight)
