"""What squared attention does with tiles of sixteen queries and blocks of keys.

Vectors are rows filled up with zeros to whole lanes, which is what ``wide`` and ``apart`` count.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import float32

from archsearch.kernels.attention.causal_tiles import across_lanes, load_part, store_part
from archsearch.kernels.inlined import inlined
from archsearch.kernels.lane_functions import positive_part, sigmoid
from archsearch.kernels.lanes import WIDTH, fused, lessened, load, product, splat, store
from archsearch.kernels.projections.tile_products import add_tile

ROWS = 6  # of a tile of sums, for which sixteen registers of half a ``WIDTH`` are enough
BLOCK = 96  # keys at a time, whose scores stay in the nearest cache


@inlined
def add_rows(
    a: np.ndarray, at: int, down: int, along: int, b: np.ndarray, bt: int, below: int,
    c: np.ndarray, ct: int, under: int, rows: int, depth: int, columns: int,
) -> None:  # fmt: skip
    """Add to c what :func:`add_tile` would; ``rows`` are even, ``columns`` whole lanes."""
    tiled = rows - rows % ROWS
    for column in range(0, columns, WIDTH):
        there, to = bt + column, ct + column
        for row in range(0, tiled, ROWS):
            add_tile(
                a, at + row * down, down, along, b, there, below,
                c, to + row * under, under, depth, ROWS, 1,
            )  # fmt: skip
        here, to = at + tiled * down, to + tiled * under
        if rows - tiled == 4:
            add_tile(a, here, down, along, b, there, below, c, to, under, depth, 4, 1)
        if rows - tiled == 2:
            add_tile(a, here, down, along, b, there, below, c, to, under, depth, 2, 1)


@inlined
def spread(
    source: np.ndarray, at: int, across: int, steps: int, size: int, rows: np.ndarray, wide: int
) -> None:
    """Vectors ``across`` apart as rows."""
    for t in range(steps):
        for c in range(0, size, WIDTH):
            store(rows, t * wide + c, load_part(source, at + t * across + c, min(size - c, WIDTH)))


@inlined
def gathered(
    rows: np.ndarray, wide: int, steps: int, size: int, target: np.ndarray, at: int
) -> None:
    """The reverse of :func:`spread`, with nothing between the vectors."""
    for t in range(steps):
        for c in range(0, size, WIDTH):
            part = load(rows, t * wide + c)
            store_part(target, at + t * size + c, min(size - c, WIDTH), part)


@inlined
def activate(rows: np.ndarray, count: int) -> None:
    """silu of ``count`` numbers in place."""
    for at in range(0, count, WIDTH):
        x = load(rows, at)
        store(rows, at, product(x, sigmoid(x)))


@inlined
def moved(
    rows: np.ndarray, at: int, factors: np.ndarray, which: int, steps: int, wide: int,
    target: np.ndarray, to: int,
) -> None:  # fmt: skip
    """Rows scaled and shifted as q or k; ``factors`` (2, 2, wide) are scales, then shifts."""
    for c in range(0, wide, WIDTH):
        scale, shift = load(factors, which * wide + c), load(factors, (2 + which) * wide + c)
        for t in range(0, steps * wide, wide):
            store(target, to + t + c, fused(load(rows, at + t + c), scale, shift))


@inlined
def asked(
    z: np.ndarray, first: int, last: int, factors: np.ndarray, wide: int, rows: np.ndarray,
    lanes: np.ndarray,
) -> None:  # fmt: skip
    """A tile of queries, each over how many keys it sees, as rows and with one of them a lane."""
    rows[:] = 0
    moved(z, first * wide, factors, 0, last - first, wide, rows, 0)
    for t in range(first, last):
        part = splat(float32(1) / float32(t + 1))
        for c in range((t - first) * wide, (t - first + 1) * wide, WIDTH):
            store(rows, c, product(part, load(rows, c)))
    across_lanes(rows, wide, lanes)


@inlined
def scored(
    keys: np.ndarray, first: int, count: int, queries: np.ndarray, wide: int, table: np.ndarray,
    shift: int, panel: np.ndarray,
) -> None:  # fmt: skip
    """Write the scores of ``count`` keys from ``first`` on to the panel, one key a row.

    The key at t has its distances from ``shift`` - t in the table on.
    """
    for key in range(count):
        store(panel, key * WIDTH, load(table, shift - first - key))
    add_rows(
        keys, first * wide, wide, 1, queries, 0, WIDTH, panel, 0, WIDTH, count, wide, WIDTH
    )  # fmt: skip


@inlined
def squared(panel: np.ndarray, count: int) -> None:
    """relu(s)^2 of the scores of ``count`` keys, in place."""
    for at in range(0, count * WIDTH, WIDTH):
        score = positive_part(load(panel, at))
        store(panel, at, product(score, score))


@inlined
def sloped(
    values: np.ndarray, first: int, count: int, upstream: np.ndarray, apart: int,
    dtable: np.ndarray, shift: int, panel: np.ndarray, slopes: np.ndarray,
) -> None:  # fmt: skip
    """Make weights of the scores of ``count`` keys, write the slopes of these, add to the table's.

    ``upstream`` has the slopes of a tile of answers, one a lane.
    """
    one = splat(float32(1))
    slopes[: count * WIDTH] = 0
    add_rows(
        values, first * apart, apart, 1, upstream, 0, WIDTH, slopes, 0, WIDTH, count, apart, WIDTH
    )  # fmt: skip
    for key in range(count):
        at, far = key * WIDTH, shift - first - key
        score = positive_part(load(panel, at))
        slope = product(fused(score, one, score), load(slopes, at))
        store(panel, at, product(score, score))
        store(slopes, at, slope)
        store(dtable, far, fused(slope, one, load(dtable, far)))


@inlined
def steepness(x: Any, slope: Any) -> Any:
    """The slope of silu at ``x`` times another."""
    one, half = splat(float32(1)), sigmoid(x)
    return product(slope, product(half, fused(x, lessened(half, one, one), one)))


@inlined
def passed(
    slopes: np.ndarray, wide: int, steps: int, size: int, source: np.ndarray, target: np.ndarray,
    at: int, across: int,
) -> None:  # fmt: skip
    """Write slopes of activated vectors as those of what they were before, ``across`` apart."""
    for t in range(steps):
        for c in range(0, size, WIDTH):
            count, here = min(size - c, WIDTH), at + t * across + c
            slope = steepness(load_part(source, here, count), load(slopes, t * wide + c))
            store_part(target, here, count, slope)
