"""The features of :func:`archsearch.kernels.memories.pair_products.pair_products` in loops.

A vector of N numbers, N a multiple of eight, becomes 1, itself, and for each i its product with
x_i from x_i on. ``shares`` (N, N) has what a product counts: zero before i, the root of a half at
i, one behind. All vectors are multiplied by ``scale`` first.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.inlined import inlined
from archsearch.kernels.tiles import columns, fused, load, plus, product, store, total

LANES = 8

# the size of a head is known when its loops are compiled
specialised = partial(inlined, specialised=True)


def number(size: int) -> int:
    """How many features a vector has."""
    return (size + 1) * (size + 2) // 2


def shares(size: int, kind: type) -> np.ndarray:
    """What each product of two numbers counts."""
    return np.triu(np.ones((size, size), kind), 1) + np.diag(np.full(size, 0.5**0.5, kind))


@specialised
def expand(
    x: np.ndarray, at: int, size: int, scale: np.ndarray, shares: np.ndarray, y: np.ndarray, to: int
) -> None:
    """Write the features of the vector at ``at`` to ``to``."""
    times = columns(scale, 0, 1, 8)
    place = to + 1 + size + size * (size + 1) // 2
    # what a row writes before its own place, the rows before it write again
    for i in range(size - 1, -1, -1):
        place -= size - i
        one = product(columns(x, at + i, 1, 8), times)
        for c in range(i - i % LANES, size, LANES):
            row = product(load(x, at + c, 0, 1, 8), times)
            row = product(row, load(shares, i * size + c, 0, 1, 8))
            store(y, place - i + c, 0, product(row, one))
    for c in range(0, size, LANES):
        store(y, to + 1 + c, 0, product(load(x, at + c, 0, 1, 8), times))
    store(y, to, 0, columns(scale, 1, 1, 1))


@specialised
def contract(
    x: np.ndarray,
    at: int,
    size: int,
    scale: np.ndarray,
    shares: np.ndarray,
    dy: np.ndarray,
    to: int,
    sums: np.ndarray,
    dx: np.ndarray,
    dat: int,
) -> None:
    """Write the slopes of the vector, of those of its features at ``to``, to ``dat``."""
    times = columns(scale, 0, 1, 8)
    for c in range(0, size, LANES):
        found = load(dy, to + 1 + c, 0, 1, 8)
        across = product(load(x, at + c, 0, 1, 8), times)
        for i in range(min(size, c + LANES)):
            place = to + 1 + size + i * size - i * (i - 1) // 2
            slope = load(dy, place - i + c, 0, 1, 8)
            slope = product(slope, load(shares, i * size + c, 0, 1, 8))
            found = fused(slope, product(columns(x, at + i, 1, 8), times), found)
            part = total(product(slope, across))
            sums[i] = part if c <= i else sums[i] + part
        store(dx, dat + c, 0, found)
    for c in range(0, size, LANES):
        found = plus(load(dx, dat + c, 0, 1, 8), load(sums, c, 0, 1, 8))
        store(dx, dat + c, 0, product(found, times))
