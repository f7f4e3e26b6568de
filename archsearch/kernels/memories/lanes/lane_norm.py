"""The norm under a gate behind memories in lanes, of a chunk at a time.

As :mod:`archsearch.kernels.norms.gated_norm` defines it.
"""

from __future__ import annotations

import math

import numpy as np

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import (
    WIDTH,
    fused,
    load,
    product,
    quotient,
    repeated,
    splat,
    store,
)
from archsearch.kernels.memories.lanes.lane_blocks import raised, root, row_sums
from archsearch.kernels.memories.lanes.lane_paths import CHUNK

LOG2_E = math.log2(math.e)


@inlined
def scales(
    seen: np.ndarray,
    row: int,
    apart: int,
    size: int,
    epsilon: float,
    square: np.ndarray,
    shrinks: np.ndarray,
) -> None:
    """Write 1 / rms of a chunk of rows of ``size`` numbers, found for all of them at once."""
    kind = square.dtype.type
    zero, one = splat(kind(0)), splat(kind(1))
    share, least = splat(kind(1) / kind(size)), splat(kind(epsilon))
    for i in range(CHUNK):
        squares = zero
        for c in range(row + i * apart, row + i * apart + size, WIDTH):
            part = load(seen, c)
            squares = fused(part, part, squares)
        store(square, i * CHUNK, squares)
    store(shrinks, 0, quotient(one, root(fused(row_sums(square, 0, CHUNK), share, least))))


@inlined
def norm(
    seen: np.ndarray,
    found: int,
    gate: int,
    apart: int,
    weight: np.ndarray,
    width: int,
    epsilon: float,
    square: np.ndarray,
    normed: np.ndarray,
) -> None:
    """Write rms(x) weight silu(gate) (C, width); x and gate lie in rows that are ``apart``.

    ``square`` has room for C rows of C numbers and two more.
    """
    size, kind = weight.size, normed.dtype.type
    one, minus = splat(kind(1)), splat(kind(-LOG2_E))
    shrinks = square[CHUNK * CHUNK :]
    for h in range(0, width, size):
        scales(seen, found + h, apart, size, epsilon, square, shrinks)
        for c in range(h, h + size, WIDTH):
            weights = load(weight, c - h)
            for i in range(CHUNK):
                opened = load(seen, gate + i * apart + c)
                share = quotient(opened, fused(raised(product(opened, minus)), one, one))
                even = product(load(seen, found + i * apart + c), repeated(shrinks, i))
                store(normed, i * width + c, product(product(even, weights), share))


@inlined
def norm_back(
    dnormed: np.ndarray,
    seen: np.ndarray,
    found: int,
    gate: int,
    apart: int,
    weight: np.ndarray,
    width: int,
    epsilon: float,
    square: np.ndarray,
    normed: np.ndarray,
    begin: int,
    dfound: np.ndarray,
    dgate: np.ndarray,
    dgate_at: int,
    dgate_apart: int,
    dweight: np.ndarray,
) -> None:
    """Write what :func:`norm` would, from ``begin``, and the slopes; add that of the weight."""
    size, kind = weight.size, normed.dtype.type
    zero, one, less = splat(kind(0)), splat(kind(1)), splat(kind(-1))
    minus, share_of = splat(kind(-LOG2_E)), splat(kind(-1) / kind(size))
    shrinks = square[CHUNK * CHUNK :]
    for h in range(0, width, size):
        scales(seen, found + h, apart, size, epsilon, square, shrinks)
        for c in range(h, h + size, WIDTH):
            weights, dweights = load(weight, c - h), load(dweight, c - h)
            for i in range(CHUNK):
                at = i * width + c
                inner = load(dnormed, at)
                even = product(load(seen, found + i * apart + c), repeated(shrinks, i))
                opened = load(seen, gate + i * apart + c)
                half = quotient(one, fused(raised(product(opened, minus)), one, one))
                share = product(opened, half)
                turn = fused(share, fused(half, less, one), half)
                scaled = product(even, weights)
                store(normed, begin + at, product(scaled, share))
                slope = product(product(inner, turn), scaled)
                store(dgate, dgate_at + i * dgate_apart + c, slope)
                inner = product(inner, share)
                dweights = fused(inner, even, dweights)
                inner = product(inner, weights)
                store(dfound, at, inner)
                along = load(square, i * CHUNK) if c > h else zero
                store(square, i * CHUNK, fused(inner, even, along))
            store(dweight, c - h, dweights)
        store(shrinks, CHUNK, product(row_sums(square, 0, CHUNK), share_of))
        for c in range(h, h + size, WIDTH):
            for i in range(CHUNK):
                at = i * width + c
                shrink = repeated(shrinks, i)
                even = product(load(seen, found + i * apart + c), shrink)
                slope = fused(even, repeated(shrinks, CHUNK + i), load(dfound, at))
                store(dfound, at, product(slope, shrink))
