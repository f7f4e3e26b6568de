"""A chunk of one head of memories in lanes, and the way back through it.

``rows`` hold queries, keys and values, ``part`` apart from each other, filled up with zeros to
multiples of ``WIDTH`` numbers; the queries are scaled. ``shape`` has the numbers in a row, how far
rows are apart, ``part``, the lanes, the numbers of a head's gates and how far those of positions
are apart. Scratch is shared by all chunks, and
scarce: it stays in the nearest cache.
"""

from __future__ import annotations

import numpy as np

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
from archsearch.kernels.memories.lanes.lane_blocks import accumulate, multiply, row_sums
from archsearch.kernels.memories.lanes.lane_gates import open_gates, shut_gates
from archsearch.kernels.memories.lanes.lane_paths import CHUNK, REACH, retrace, walk
from archsearch.kernels.memories.lanes.lane_tiles import turn, weigh, weigh_back
from archsearch.kernels.vector_math import inlined


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
    turned: np.ndarray,
    paths: np.ndarray,
    direct: np.ndarray,
    units: np.ndarray,
    scores: np.ndarray,
    weights: np.ndarray,
) -> None:
    """Write q . k of all positions (C, C), and the same times the paths between them."""
    wide, apart, part = shape[0], shape[1], shape[2]
    turn(rows, at + part, apart, CHUNK, wide, turned)
    multiply(rows, at, apart, 1, turned, 0, CHUNK, scores, 0, CHUNK, wide)
    for i in range(CHUNK):
        path = fused(repeated(direct, i), load(units, i * CHUNK), load(paths, i * REACH))
        store(weights, i * CHUNK, product(load(scores, i * CHUNK), path))


@inlined
def answer(
    rows: np.ndarray,
    at: int,
    gates: np.ndarray,
    gates_at: int,
    shape: np.ndarray,
    count: int,
    tiles: np.ndarray,
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
    wide, apart, part, lanes, parts, gates_apart = shape
    area, last = wide * wide, count * lanes * REACH
    turned, other = tiles[0], tiles[1]
    scores, weights, units = squares[0], squares[1], squares[2]
    mark, direct = table[lanes * CHUNK :], table[3 * lanes * CHUNK :]
    zero = splat(made.dtype.type(0))
    open_gates(gates, gates_at, gates_apart, parts, count, lanes, scores, table, moves)
    walk(table, mark, moves, units, count, lanes, held, paths)
    weigh_paths(rows, at, shape, turned, paths, direct, units, scores, weights)
    key, value = at + part, at + 2 * part
    for c in range(0, wide, WIDTH):
        multiply(weights, 0, CHUNK, 1, rows, value + c, apart, found, to + c, under, CHUNK)
    for lane in range(lanes):
        for i in range(0, area, WIDTH):
            sums = zero
            for j in range(lanes):
                share = repeated(held, last + lane * REACH + CHUNK + j)
                sums = fused(share, load(made, old + j * area + i), sums)
            store(made, new + lane * area + i, sums)
    for j in range(lanes):
        weigh(paths, CHUNK + j, REACH, rows, at, apart, wide, other)
        for c in range(0, wide, WIDTH):
            here = old + j * area + c
            accumulate(other, 0, wide, 1, made, here, wide, found, to + c, under, wide)
        weigh(held, last + j * REACH, 1, rows, key, apart, wide, other)
        for i in range(0, wide, WIDTH):
            for c in range(0, wide, WIDTH):
                here = new + j * area + i * wide + c
                accumulate(other, i, 1, wide, rows, value + c, apart, made, here, wide, CHUNK)


@inlined
def trace(
    slopes: np.ndarray,
    begin: int,
    across: int,
    rows: np.ndarray,
    at: int,
    gates: np.ndarray,
    gates_at: int,
    shape: np.ndarray,
    count: int,
    units: np.ndarray,
    tile: np.ndarray,
    squares: np.ndarray,
    tables: np.ndarray,
    moves: np.ndarray,
    held: np.ndarray,
    paths: np.ndarray,
    dheld: np.ndarray,
    dpaths: np.ndarray,
    matrix: np.ndarray,
    made: np.ndarray,
    old: int,
    dmade: np.ndarray,
    dnew: int,
    dold: int,
    drows: np.ndarray,
    dgates: np.ndarray,
    dgates_at: int,
    dgates_apart: int,
) -> None:
    """Write the slopes of rows, which lie as those do, and gates; memories' go from new to old."""
    wide, apart, part, lanes, parts, gates_apart = shape
    area, last = wide * wide, count * lanes * REACH
    scores, weights, dweights, sums_of = squares[0], squares[1], squares[2], squares[3]
    table, dtable, move, dmove = tables[0], tables[1], moves[0], moves[1]
    mark, direct = table[lanes * CHUNK :], table[3 * lanes * CHUNK :]
    dmark, ddirect = dtable[lanes * CHUNK :], dtable[3 * lanes * CHUNK :]
    zero, one = splat(slopes.dtype.type(0)), splat(slopes.dtype.type(1))
    open_gates(gates, gates_at, gates_apart, parts, count, lanes, scores, table, move)
    walk(table, mark, move, units, count, lanes, held, paths)
    weigh_paths(rows, at, shape, matrix, paths, direct, units, scores, weights)
    key, value = at + part, at + 2 * part
    turn(rows, value, apart, CHUNK, wide, matrix)
    multiply(slopes, begin, across, 1, matrix, 0, CHUNK, dweights, 0, CHUNK, wide)
    own = zero
    for i in range(CHUNK):
        slope, unit = load(dweights, i * CHUNK), load(units, i * CHUNK)
        path = load(paths, i * REACH)
        dpath = product(slope, load(scores, i * CHUNK))
        store(dpaths, i * REACH, dpath)
        own = fused(dpath, unit, own)
        store(dweights, i * CHUNK, product(slope, fused(repeated(direct, i), unit, path)))
    store(ddirect, 0, own)
    for c in range(0, wide, WIDTH):
        query = at + c
        multiply(dweights, 0, CHUNK, 1, rows, key + c, apart, drows, query, apart, CHUNK)
        multiply(dweights, 0, 1, CHUNK, rows, query, apart, drows, key + c, apart, CHUNK)
        multiply(weights, 0, 1, CHUNK, slopes, begin + c, across, drows, value + c, apart, CHUNK)
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
    for j in range(lanes):
        # what a position reads of the memories before the chunk
        turn(made, old + j * area, wide, wide, wide, matrix)
        for c in range(0, wide, WIDTH):
            multiply(slopes, begin, across, 1, matrix, c, wide, tile, c, wide, wide)
        reach = CHUNK + j
        weigh_back(paths, reach, REACH, tile, wide, rows, at, apart, drows, at, apart, sums_of)
        store(tile, 0, row_sums(sums_of, 0, CHUNK))
        for i in range(CHUNK):
            dpaths[i * REACH + reach] = tile[i]
        weigh(paths, reach, REACH, rows, at, apart, wide, tile)
        for i in range(0, wide, WIDTH):
            for c in range(0, wide, WIDTH):
                here = dold + j * area + i * wide + c
                accumulate(tile, i, 1, wide, slopes, begin + c, across, dmade, here, wide, CHUNK)
        # what it writes into those after it
        turn(dmade, dnew + j * area, wide, wide, wide, matrix)
        for c in range(0, wide, WIDTH):
            multiply(rows, value, apart, 1, matrix, c, wide, tile, c, wide, wide)
        end = last + j * REACH
        weigh_back(held, end, 1, tile, wide, rows, key, apart, drows, key, apart, sums_of)
        store(dheld, j * REACH, row_sums(sums_of, 0, CHUNK))
        weigh(held, end, 1, rows, key, apart, wide, tile)
        for c in range(0, wide, WIDTH):
            here = dnew + j * area + c
            accumulate(tile, 0, wide, 1, dmade, here, wide, drows, value + c, apart, wide)
    products = squares.ravel()
    retrace(mark, move, units, count, lanes, held, dpaths, dheld, products, dtable, dmark, dmove)
    shut_gates(dgates, dgates_at, dgates_apart, parts, count, lanes, table, dmove, scores, dtable)
