"""How much gets from where to where within a chunk of memories in lanes, and its slopes.

Tables have a row of ``WIDTH`` positions for every number of a head: ``source`` and ``mark`` (J, C),
``move`` (J J, C). Paths begin at the C positions of the chunk and in the J lanes before it, which
lie side by side in rows of ``REACH`` numbers.
"""

from __future__ import annotations

import numpy as np

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import WIDTH, fused, load, product, repeated, splat, store
from archsearch.kernels.memories.lanes.lane_blocks import row_sums

CHUNK = WIDTH  # positions
REACH = 2 * WIDTH


@inlined
def walk_two(
    source: np.ndarray,
    mark: np.ndarray,
    move: np.ndarray,
    units: np.ndarray,
    count: int,
    held: np.ndarray,
    paths: np.ndarray,
) -> None:
    """:func:`walk` of two lanes, which have room in the registers of the processor."""
    a, b = load(held, 0), load(held, REACH)
    c, d = load(held, WIDTH), load(held, REACH + WIDTH)
    for i in range(count):
        first, second = repeated(mark, i), repeated(mark, CHUNK + i)
        store(paths, i * REACH, fused(second, b, product(first, a)))
        store(paths, i * REACH + WIDTH, fused(second, d, product(first, c)))
        unit = load(units, i * CHUNK)
        stay, enter = repeated(move, i), repeated(move, CHUNK + i)
        leave, keep = repeated(move, 2 * CHUNK + i), repeated(move, 3 * CHUNK + i)
        begun, other = repeated(source, i), repeated(source, CHUNK + i)
        a, b = (
            fused(enter, b, fused(stay, a, product(begun, unit))),
            fused(keep, b, fused(leave, a, product(other, unit))),
        )
        c, d = fused(enter, d, product(stay, c)), fused(keep, d, product(leave, c))
        now = (i + 1) * 2 * REACH
        store(held, now, a)
        store(held, now + WIDTH, c)
        store(held, now + REACH, b)
        store(held, now + REACH + WIDTH, d)


@inlined
def walk(
    source: np.ndarray,
    mark: np.ndarray,
    move: np.ndarray,
    units: np.ndarray,
    count: int,
    lanes: int,
    held: np.ndarray,
    paths: np.ndarray,
) -> None:
    """Write what reaches each position (C, R), and what is in each lane before it (C + 1, J, R).

    ``units`` is the identity (C, C). ``held`` of the first position stays as it is.
    """
    zero = splat(source.dtype.type(0))
    for at in range(count * REACH, CHUNK * REACH, WIDTH):
        store(paths, at, zero)
    if lanes == 2:
        walk_two(source, mark, move, units, count, held, paths)
        return
    for i in range(count):
        for half in range(0, REACH, WIDTH):
            now = i * lanes * REACH + half
            row = zero
            for j in range(lanes):
                row = fused(repeated(mark, j * CHUNK + i), load(held, now + j * REACH), row)
            store(paths, i * REACH + half, row)
            for to in range(lanes):
                begun = load(units, i * CHUNK) if half == 0 else zero
                sums = product(repeated(source, to * CHUNK + i), begun)
                for j in range(lanes):
                    share = repeated(move, (to * lanes + j) * CHUNK + i)
                    sums = fused(share, load(held, now + j * REACH), sums)
                store(held, now + (lanes + to) * REACH, sums)


@inlined
def retrace_two(
    mark: np.ndarray,
    move: np.ndarray,
    units: np.ndarray,
    count: int,
    held: np.ndarray,
    dpaths: np.ndarray,
    dheld: np.ndarray,
    products: np.ndarray,
    dsource: np.ndarray,
) -> None:
    """The steps of :func:`retrace` for two lanes."""
    square, zero = CHUNK * CHUNK, splat(mark.dtype.type(0))
    da, db = load(dheld, 0), load(dheld, REACH)
    dc, dd = load(dheld, WIDTH), load(dheld, REACH + WIDTH)
    begun, other = zero, zero
    for i in range(count - 1, -1, -1):
        before, at = i * 2 * REACH, i * CHUNK
        a, b = load(held, before), load(held, before + REACH)
        c, d = load(held, before + WIDTH), load(held, before + REACH + WIDTH)
        low, high = load(dpaths, i * REACH), load(dpaths, i * REACH + WIDTH)
        unit = load(units, at)
        begun, other = fused(da, unit, begun), fused(db, unit, other)
        store(products, at, fused(da, a, product(dc, c)))
        store(products, at + square, fused(da, b, product(dc, d)))
        store(products, at + 2 * square, fused(db, a, product(dd, c)))
        store(products, at + 3 * square, fused(db, b, product(dd, d)))
        store(products, at + 4 * square, fused(low, a, product(high, c)))
        store(products, at + 5 * square, fused(low, b, product(high, d)))
        stay, enter = repeated(move, i), repeated(move, CHUNK + i)
        leave, keep = repeated(move, 2 * CHUNK + i), repeated(move, 3 * CHUNK + i)
        first, second = repeated(mark, i), repeated(mark, CHUNK + i)
        da, db = (
            fused(leave, db, fused(stay, da, product(first, low))),
            fused(keep, db, fused(enter, da, product(second, low))),
        )
        dc, dd = (
            fused(leave, dd, fused(stay, dc, product(first, high))),
            fused(keep, dd, fused(enter, dc, product(second, high))),
        )
    store(dsource, 0, begun)
    store(dsource, CHUNK, other)


@inlined
def retrace(
    mark: np.ndarray,
    move: np.ndarray,
    units: np.ndarray,
    count: int,
    lanes: int,
    held: np.ndarray,
    dpaths: np.ndarray,
    dheld: np.ndarray,
    products: np.ndarray,
    dsource: np.ndarray,
    dmark: np.ndarray,
    dmove: np.ndarray,
) -> None:
    """Write the slopes of the tables, given those of the paths and of what is left (J, R).

    ``dheld`` (2, J, R) has room for both sides of a position and begins with what is left;
    ``products`` is for J (J + 1) squares (C, C).
    """
    square, shift = CHUNK * CHUNK, lanes * lanes
    if count < CHUNK:
        products[:] = 0
        dsource[: lanes * CHUNK] = 0
    if lanes == 2:
        retrace_two(mark, move, units, count, held, dpaths, dheld, products, dsource)
        count = 0
    now, then = 0, lanes * REACH
    for i in range(count - 1, -1, -1):
        before = i * lanes * REACH
        low, high = load(dpaths, i * REACH), load(dpaths, i * REACH + WIDTH)
        for j in range(lanes):
            left = load(held, before + j * REACH)
            right = load(held, before + j * REACH + WIDTH)
            at = (shift + j) * square + i * CHUNK
            store(products, at, fused(low, left, product(high, right)))
            weight = repeated(mark, j * CHUNK + i)
            dleft, dright = product(weight, low), product(weight, high)
            for to in range(lanes):
                down = load(dheld, now + to * REACH)
                up = load(dheld, now + to * REACH + WIDTH)
                at = (to * lanes + j) * square + i * CHUNK
                store(products, at, fused(down, left, product(up, right)))
                share = repeated(move, (to * lanes + j) * CHUNK + i)
                dleft, dright = fused(share, down, dleft), fused(share, up, dright)
            store(dheld, then + j * REACH, dleft)
            store(dheld, then + j * REACH + WIDTH, dright)
            dsource[j * CHUNK + i] = dheld[now + j * REACH + i]
        now, then = then, now
    for j in range(lanes):
        # behind the lanes is nothing, and what is no number does not become nothing again
        store(dheld, j * REACH + WIDTH, splat(mark.dtype.type(0)))
        store(dmark, j * CHUNK, row_sums(products, (shift + j) * square, CHUNK))
    for j in range(shift):
        store(dmove, j * CHUNK, row_sums(products, j * square, CHUNK))
