"""A chunk of one head of memories in lanes, and the way back through it.

``rows`` hold queries, keys and values, ``part`` apart from each other, filled up with zeros to
multiples of ``WIDTH`` numbers; the queries are scaled. ``shape`` has the numbers in a row, how far
rows are apart, ``part``, the lanes and whether they share. ``table`` has the head's gates as
:mod:`archsearch.kernels.memories.lanes.lane_gates` reads them. Memories of all lanes lie one below
the other. Scratch is shared by all chunks, and scarce: it stays in the nearest cache.
"""

from __future__ import annotations

import numpy as np

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import (
    WIDTH,
    fused,
    load,
    product,
    repeated,
    splat,
    store,
    total,
)
from archsearch.kernels.memories.lanes.lane_blocks import (
    accumulate,
    accumulate_lower,
    accumulate_upper,
    multiply,
)
from archsearch.kernels.memories.lanes.lane_gates import open_gates, shut_gates
from archsearch.kernels.memories.lanes.lane_paths import CHUNK, REACH, retrace, walk
from archsearch.kernels.memories.lanes.lane_tiles import (
    foresee_part,
    turn,
    weigh,
    weigh_back,
    weigh_turned,
)
from archsearch.kernels.transpose import transpose

PARTS = 4  # in which a head asks for what comes next


@inlined
def begin_paths(lanes: int, units: np.ndarray, held: np.ndarray) -> None:
    """Before a chunk, each lane holds what it holds."""
    for i in range(CHUNK):
        units[i * CHUNK + i] = 1
    for j in range(lanes):
        held[j * REACH + CHUNK + j] = 1


@inlined
def weigh_paths(
    rows: np.ndarray,
    at: int,
    shape: np.ndarray,
    keys: np.ndarray,
    paths: np.ndarray,
    direct: np.ndarray,
    units: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Write q . k of all positions (C, C), and the same times the paths between them.

    ``keys`` (wide, C) are turned.
    """
    wide, apart = shape[0], shape[1]
    multiply(rows, at, apart, 1, keys, 0, CHUNK, scores, 0, CHUNK, wide)
    for i in range(CHUNK):
        path = fused(repeated(direct, i), load(units, i * CHUNK), load(paths, i * REACH))
        store(weights, i * CHUNK, product(load(scores, i * CHUNK), path))


@inlined
def answer(
    rows: np.ndarray,
    at: int,
    shape: np.ndarray,
    count: int,
    keys: np.ndarray,
    tile: np.ndarray,
    squares: np.ndarray,
    table: np.ndarray,
    moves: np.ndarray,
    held: np.ndarray,
    paths: np.ndarray,
    made: np.ndarray,
    old: int,
    new: int,
    found: np.ndarray,
    to: int,
    under: int,
) -> None:
    """Write what the memories answer, and take those at ``old`` to ``new``."""
    wide, apart, part, lanes, shared = shape
    area, last, tall = wide * wide, count * lanes * REACH, lanes * wide
    scores, weights, units = squares[0], squares[1], squares[2]
    mark, direct = table[lanes * CHUNK :], table[3 * lanes * CHUNK :]
    zero = splat(made.dtype.type(0))
    foresee_part(made, new, tall * wide, 0, 1)
    open_gates(table, lanes, shared > 0, moves)
    walk(table, mark, moves, units, count, lanes, held, paths)
    key, value = at + part, at + 2 * part
    turn(rows, key, apart, CHUNK, wide, keys)
    weigh_paths(rows, at, shape, keys, paths, direct, units, scores, weights)
    for j in range(lanes):
        weigh(paths, CHUNK + j, REACH, rows, at, apart, wide, tile, j * wide, tall)
    for c in range(0, wide, WIDTH):
        multiply(tile, 0, tall, 1, made, old + c, wide, found, to + c, under, tall)
        accumulate_lower(weights, 0, CHUNK, 1, rows, value + c, apart, found, to + c, under)
    for lane in range(lanes):
        for i in range(0, area, WIDTH):
            sums = zero
            for j in range(lanes):
                share = repeated(held, last + lane * REACH + CHUNK + j)
                sums = fused(share, load(made, old + j * area + i), sums)
            store(made, new + lane * area + i, sums)
        weigh_turned(held, last + lane * REACH, keys, wide, tile, lane * wide * CHUNK)
    for i in range(0, tall, WIDTH):
        for c in range(0, wide, WIDTH):
            here = new + i * wide + c
            accumulate(tile, i * CHUNK, CHUNK, 1, rows, value + c, apart, made, here, wide, CHUNK)


@inlined
def trace(
    slopes: np.ndarray,
    begin: int,
    across: int,
    rows: np.ndarray,
    at: int,
    shape: np.ndarray,
    count: int,
    units: np.ndarray,
    turned: np.ndarray,
    tile: np.ndarray,
    squares: np.ndarray,
    ends: np.ndarray,
    table: np.ndarray,
    dtable: np.ndarray,
    moves: np.ndarray,
    held: np.ndarray,
    paths: np.ndarray,
    dheld: np.ndarray,
    dpaths: np.ndarray,
    made: np.ndarray,
    old: int,
    dmade: np.ndarray,
    dnew: int,
    dold: int,
    drows: np.ndarray,
    ahead: np.ndarray,
    ahead_at: int,
    some: int,
    made_at: int,
) -> None:
    """Write the slopes of rows, which lie as those do, and of the table; memories' go from new to
    old.

    ``ends`` (2, C, C) are zero but for as many rows as there are lanes. What comes next are
    ``some`` numbers of ``ahead`` and, unless there are none of those, the memories at ``made_at``.
    """
    wide, apart, part, lanes, shared = shape
    area, last, tall = wide * wide, count * lanes * REACH, lanes * wide
    scores, weights, dweights = squares[0], squares[1], squares[2]
    queries, keys, values, given = turned[0], turned[1], turned[2], turned[3]
    dqueries, dkeys, reaches, dreaches = turned[4], turned[5], ends[0], ends[1]
    move, dmove = moves[0], moves[1]
    mark, direct = table[lanes * CHUNK :], table[3 * lanes * CHUNK :]
    dmark, ddirect = dtable[lanes * CHUNK :], dtable[3 * lanes * CHUNK :]
    zero, one = splat(slopes.dtype.type(0)), splat(slopes.dtype.type(1))
    early = tall * wide if some > 0 else 0
    foresee_part(made, made_at, early, 0, 2)
    open_gates(table, lanes, shared > 0, move)
    walk(table, mark, move, units, count, lanes, held, paths)
    key, value = at + part, at + 2 * part
    turn(rows, at, apart, CHUNK, wide, queries)
    turn(rows, key, apart, CHUNK, wide, keys)
    turn(rows, value, apart, CHUNK, wide, values)
    turn(slopes, begin, across, CHUNK, wide, given)
    weigh_paths(rows, at, shape, keys, paths, direct, units, scores, weights)
    foresee_part(ahead, ahead_at, some, 0, PARTS)
    multiply(slopes, begin, across, 1, values, 0, CHUNK, dweights, 0, CHUNK, wide)
    own = zero
    for i in range(CHUNK):
        slope, unit = load(dweights, i * CHUNK), load(units, i * CHUNK)
        path = load(paths, i * REACH)
        dpath = product(slope, load(scores, i * CHUNK))
        store(dpaths, i * REACH, dpath)
        own = fused(dpath, unit, own)
        store(dweights, i * CHUNK, product(slope, fused(repeated(direct, i), unit, path)))
    store(ddirect, 0, own)
    for lane in range(lanes):
        for i in range(0, area, WIDTH):
            sums = zero
            for j in range(lanes):
                share = repeated(held, last + j * REACH + CHUNK + lane)
                sums = fused(share, load(dmade, dnew + j * area + i), sums)
            store(dmade, dold + lane * area + i, sums)
        for j in range(lanes):
            even, odd = zero, zero
            for i in range(0, area, 2 * WIDTH):
                here, there = dnew + j * area + i, old + lane * area + i
                even = fused(load(dmade, here), load(made, there), even)
                odd = fused(load(dmade, here + WIDTH), load(made, there + WIDTH), odd)
            dheld[j * REACH + CHUNK + lane] = total(fused(even, one, odd))
    # what a position reads of the memories before the chunk
    foresee_part(ahead, ahead_at, some, 1, PARTS)
    transpose(paths, CHUNK, REACH, reaches, 0, CHUNK)
    for i in range(0, tall, WIDTH):
        multiply(made, old + i * wide, wide, 1, given, 0, CHUNK, tile, i * CHUNK, CHUNK, wide)
    for j in range(lanes):
        at_lane, reach = j * wide * CHUNK, j * CHUNK
        weigh_back(reaches, reach, queries, wide, tile, at_lane, dqueries, j > 0, dreaches, reach)
    transpose(dreaches, 0, CHUNK, dpaths, CHUNK, REACH)
    for i in range(0, tall, WIDTH):
        for c in range(0, wide, WIDTH):
            here = dold + i * wide + c
            accumulate(
                tile, i * CHUNK, CHUNK, 1, slopes, begin + c, across, dmade, here, wide, CHUNK
            )
    foresee_part(ahead, ahead_at, some, 2, PARTS)
    # what it writes into those after it
    for i in range(0, tall, WIDTH):
        multiply(dmade, dnew + i * wide, wide, 1, values, 0, CHUNK, tile, i * CHUNK, CHUNK, wide)
    foresee_part(made, made_at, early, 1, 2)
    for j in range(lanes):
        at_lane, end = j * wide * CHUNK, last + j * REACH
        weigh_back(held, end, keys, wide, tile, at_lane, dkeys, j > 0, dheld, j * REACH)
    for c in range(0, wide, WIDTH):
        query = at + c
        transpose(dqueries, c * CHUNK, CHUNK, drows, query, apart)
        transpose(dkeys, c * CHUNK, CHUNK, drows, key + c, apart)
        multiply(tile, 0, 1, CHUNK, dmade, dnew + c, wide, drows, value + c, apart, tall)
        accumulate_lower(dweights, 0, CHUNK, 1, rows, key + c, apart, drows, query, apart)
        accumulate_upper(dweights, 0, 1, CHUNK, rows, query, apart, drows, key + c, apart)
        accumulate_upper(weights, 0, 1, CHUNK, slopes, begin + c, across, drows, value + c, apart)
    foresee_part(ahead, ahead_at, some, 3, PARTS)
    products = squares.ravel()
    retrace(mark, move, units, count, lanes, held, dpaths, dheld, products, dtable, dmark, dmove)
    shut_gates(table, dmove, lanes, shared > 0, dtable)
