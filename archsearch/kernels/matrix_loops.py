"""Products of small matrices in the nearest cache, as parts of compiled loops.

Matrices are one-dimensional arrays, row after row. Rows come in whole blocks of ``ROWS``, columns
in whole lanes.
"""

from __future__ import annotations

import numba
import numpy as np

from archsearch.kernels.lanes import WIDTH, fused, load, repeated, splat, store, transpose

ROWS = 8  # sums that the registers hold beside what they are made of

# a part of the loop that uses it
part = numba.njit(error_model="numpy", fastmath={"contract"})


@part
def put_product(
    left: np.ndarray,
    across: int,
    down: int,
    right: np.ndarray,
    out: np.ndarray,
    rows: int,
    depth: int,
    wide: int,
) -> None:
    """``out`` (rows, wide) becomes ``left`` (rows, depth) times ``right`` (depth, wide).

    The number (r, p) of ``left`` lies at r ``across`` + p ``down``, so it may be read turned.
    """
    zero = splat(out.dtype.type(0))
    for r in range(0, rows, ROWS):
        for row in range(r * wide, (r + ROWS) * wide, WIDTH):
            store(out, row, zero)
    add_product(left, across, down, right, out, rows, depth, wide)


@part
def add_product(
    left: np.ndarray,
    across: int,
    down: int,
    right: np.ndarray,
    out: np.ndarray,
    rows: int,
    depth: int,
    wide: int,
) -> None:
    """The product that :func:`put_product` writes, added to what ``out`` holds."""
    for r in range(0, rows, ROWS):
        for c in range(0, wide, WIDTH):
            row = r * wide + c
            sum0, sum1 = load(out, row), load(out, row + wide)
            sum2, sum3 = load(out, row + 2 * wide), load(out, row + 3 * wide)
            sum4, sum5 = load(out, row + 4 * wide), load(out, row + 5 * wide)
            sum6, sum7 = load(out, row + 6 * wide), load(out, row + 7 * wide)
            place, at = r * across, c
            for _ in range(depth):
                other = load(right, at)
                sum0 = fused(repeated(left, place), other, sum0)
                sum1 = fused(repeated(left, place + across), other, sum1)
                sum2 = fused(repeated(left, place + 2 * across), other, sum2)
                sum3 = fused(repeated(left, place + 3 * across), other, sum3)
                sum4 = fused(repeated(left, place + 4 * across), other, sum4)
                sum5 = fused(repeated(left, place + 5 * across), other, sum5)
                sum6 = fused(repeated(left, place + 6 * across), other, sum6)
                sum7 = fused(repeated(left, place + 7 * across), other, sum7)
                place += down
                at += wide
            store(out, row, sum0)
            store(out, row + wide, sum1)
            store(out, row + 2 * wide, sum2)
            store(out, row + 3 * wide, sum3)
            store(out, row + 4 * wide, sum4)
            store(out, row + 5 * wide, sum5)
            store(out, row + 6 * wide, sum6)
            store(out, row + 7 * wide, sum7)


@part
def turn(matrix: np.ndarray, begin: int, turned: np.ndarray, rows: int, wide: int) -> None:
    """Write the matrix (rows, wide) at ``begin``, both whole lanes, as (wide, rows)."""
    for r in range(0, rows, WIDTH):
        for c in range(0, wide, WIDTH):
            transpose(matrix, begin + r * wide + c, wide, turned, c * rows + r, rows)
