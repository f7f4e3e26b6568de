"""What a head makes of the outputs of its gates: tables for :mod:`...memories.lane_paths`.

The numbers of a head and position are the source, mark and strength of each lane, the direct path
and, where lanes share, the shares from lane to lane before their softmax. Tables have a row of
``CHUNK`` positions for each of them, head after head, up to a multiple of ``WIDTH`` rows.
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
    splat,
    store,
)
from archsearch.kernels.memories.lanes.gated_lanes import STEEPNESS
from archsearch.kernels.memories.lanes.lane_blocks import larger, raised
from archsearch.kernels.memories.lanes.lane_paths import CHUNK
from archsearch.kernels.memories.lanes.lane_tiles import give, take, turn

LOG2_E = math.log2(math.e)


@inlined
def read_gates(
    gates: np.ndarray,
    begin: int,
    apart: int,
    count: int,
    numbers: int,
    tile: np.ndarray,
    table: np.ndarray,
) -> None:
    """Write the gates of a chunk of all heads as rows of a table; zeros for absent positions."""
    wide = numbers + -numbers % WIDTH
    take(gates, begin, apart, count, numbers, tile, 0, wide)
    turn(tile, 0, wide, CHUNK, wide, table)


@inlined
def write_gates(
    dtable: np.ndarray,
    numbers: int,
    count: int,
    tile: np.ndarray,
    dgates: np.ndarray,
    begin: int,
    apart: int,
) -> None:
    """Write the slopes where :func:`read_gates` found the gates."""
    wide = numbers + -numbers % WIDTH
    turn(dtable, 0, CHUNK, wide, CHUNK, tile)
    give(tile, 0, wide, count, numbers, dgates, begin, apart)


@inlined
def open_gates(table: np.ndarray, lanes: int, shared: bool, move: np.ndarray) -> None:
    """Put tanh and softmax in the place of their arguments, and multiply them to ``move``."""
    kind = table.dtype.type
    zero, one, twice = splat(kind(0)), splat(kind(1)), splat(kind(-2))
    steep, change = splat(kind(2 * STEEPNESS * LOG2_E)), splat(kind(LOG2_E))
    minus = splat(kind(-1))
    for j in range(lanes):
        at = (2 * lanes + j) * CHUNK
        # tanh(x) = 1 - 2 / (exp(2 x) + 1)
        grown = fused(raised(product(load(table, at), steep)), one, one)
        strength = fused(quotient(twice, grown), one, one)
        store(table, at, strength)
        if shared:
            first = (3 * lanes + 1 + j) * CHUNK
            most = load(table, first)
            for i in range(1, lanes):
                most = larger(load(table, first + i * lanes * CHUNK), most)
            sums = zero
            for i in range(lanes):
                here = first + i * lanes * CHUNK
                size = raised(product(fused(most, minus, load(table, here)), change))
                store(table, here, size)
                sums = fused(size, one, sums)
            for i in range(lanes):
                here = first + i * lanes * CHUNK
                share = quotient(load(table, here), sums)
                store(table, here, share)
                store(move, (i * lanes + j) * CHUNK, product(share, strength))
        else:
            for i in range(lanes):
                store(move, (i * lanes + j) * CHUNK, strength if i == j else zero)


@inlined
def shut_gates(
    table: np.ndarray, dmove: np.ndarray, lanes: int, shared: bool, dtable: np.ndarray
) -> None:
    """Add to the slopes of sources, marks and direct path those of what ``move`` was made of."""
    kind = table.dtype.type
    zero, one, minus = splat(kind(0)), splat(kind(1)), splat(kind(-1))
    steep = splat(kind(STEEPNESS))
    for j in range(lanes):
        strength = load(table, (2 * lanes + j) * CHUNK)
        slope = load(dmove, j * (lanes + 1) * CHUNK)
        if shared:
            first = (3 * lanes + 1 + j) * CHUNK
            slope = zero
            for i in range(lanes):
                share = load(table, first + i * lanes * CHUNK)
                slope = fused(load(dmove, (i * lanes + j) * CHUNK), share, slope)
            mean = product(slope, strength)
            for i in range(lanes):
                here = first + i * lanes * CHUNK
                inner = product(load(dmove, (i * lanes + j) * CHUNK), strength)
                inner = fused(mean, minus, inner)
                store(dtable, here, product(inner, load(table, here)))
        rest = fused(product(strength, minus), strength, one)
        store(dtable, (2 * lanes + j) * CHUNK, product(product(slope, steep), rest))
