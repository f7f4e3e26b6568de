"""The loops of memories in lanes, chunk after chunk, in products of small matrices.

Arrays: ``mixed`` holds queries, keys and values (3, H, D) side by side at every position, ``gates``
the numbers of :mod:`archsearch.kernels.memories.lanes.lane_gates` for every head; both are read
where they lie. ``places`` has B, T, H, D, J, the numbers of a head's gates, and how far rows and
positions of ``mixed`` and of ``gates`` lie apart. ``kept`` (B, chunks + 1, H, J, N, N) holds the
memories before each chunk and after the last, N being D up to a multiple of ``WIDTH``. ``scale``
is D^(-1/2).
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import WIDTH, load, product, repeated, store
from archsearch.kernels.memories.lanes.lane_gates import read_gates, write_gates
from archsearch.kernels.memories.lanes.lane_heads import answer, begin_paths, trace
from archsearch.kernels.memories.lanes.lane_paths import CHUNK, REACH
from archsearch.kernels.memories.lanes.lane_tiles import empty, fill, foresee, give, take

contracted = partial(compiled, contracted=True)


@inlined
def rescale(tile: np.ndarray, wide: int, scale: np.ndarray) -> None:
    """Multiply the queries of a tile (C, 3 wide)."""
    factor = repeated(scale, 0)
    for i in range(CHUNK):
        for c in range(i * 3 * wide, i * 3 * wide + wide, WIDTH):
            store(tile, c, product(factor, load(tile, c)))


@contracted
def forward(
    mixed: np.ndarray,
    gates: np.ndarray,
    memory: np.ndarray,
    out: np.ndarray,
    kept: np.ndarray,
    scale: np.ndarray,
    places: np.ndarray,
) -> None:
    """``memory`` (B, H, J, D, D) is the one before, then the one that is left; out (B, T, H, D)."""
    batch, steps, heads, size, lanes, parts, across, apart, gates_across, gates_apart = places
    wide, kind = kept.shape[5], out.dtype
    chunks, area, row = kept.shape[1] - 1, wide * wide, 3 * wide
    shape = np.array([wide, row, wide, lanes, parts - 3 * lanes - 1])
    numbers = heads * parts
    room = (numbers + -numbers % WIDTH) * CHUNK
    keys, weighed = np.zeros(CHUNK * wide, kind), np.zeros(CHUNK * lanes * wide, kind)
    squares, moves = np.zeros((3, CHUNK * CHUNK), kind), np.zeros(lanes * lanes * CHUNK, kind)
    numbered, table = np.zeros(room, kind), np.zeros(room, kind)
    held, paths = np.zeros((CHUNK + 1) * lanes * REACH, kind), np.zeros(CHUNK * REACH, kind)
    tile, found = np.zeros(CHUNK * row, kind), np.zeros(CHUNK * wide, kind)
    begin_paths(lanes, squares[2], held)
    left, made, answers = memory.ravel(), kept.ravel(), out.ravel()
    span = heads * lanes * area  # numbers of the memories of a row
    for n in range(batch):
        for h in range(heads):
            here = n * (chunks + 1) * span + h * lanes * area
            fill(left, (n * heads + h) * lanes * size * size, lanes, size, made, here, wide)
        for chunk in range(chunks):
            begin = chunk * CHUNK
            count = min(CHUNK, steps - begin)
            gates_at = n * gates_across + begin * gates_apart
            read_gates(gates, gates_at, gates_apart, count, numbers, numbered, table)
            for h in range(heads):
                for part in range(3):
                    at = n * across + begin * apart + (part * heads + h) * size
                    if chunk + 1 < chunks:
                        foresee(mixed, at + CHUNK * apart, CHUNK, apart, size)
                    take(mixed, at, apart, count, size, tile, part * wide, row)
                rescale(tile, wide, scale)
                old = (n * (chunks + 1) + chunk) * span + h * lanes * area
                answer(
                    tile,
                    0,
                    shape,
                    count,
                    keys,
                    weighed,
                    squares,
                    table[h * parts * CHUNK :],
                    moves,
                    held,
                    paths,
                    made,
                    old,
                    old + span,
                    found,
                    0,
                    wide,
                )
                to = ((n * steps + begin) * heads + h) * size
                give(found, 0, wide, count, size, answers, to, heads * size)
        for h in range(heads):
            here = (n * (chunks + 1) + chunks) * span + h * lanes * area
            empty(made, here, wide, lanes, size, left, (n * heads + h) * lanes * size * size)


@contracted
def backward(
    dout: np.ndarray,
    mixed: np.ndarray,
    gates: np.ndarray,
    kept: np.ndarray,
    dmemory: np.ndarray,
    dmixed: np.ndarray,
    dgates: np.ndarray,
    scale: np.ndarray,
    places: np.ndarray,
) -> None:
    """``dmemory`` (B, H, J, D, D) is that of the memory left, then of the first.

    ``dmixed`` (B, T, 3, H, D) and ``dgates`` (B, T, H, .) have no gaps. What is cheap to compute
    again was not kept.
    """
    batch, steps, heads, size, lanes, parts, across, apart, gates_across, gates_apart = places
    wide, kind = kept.shape[5], dout.dtype
    chunks, area, row = kept.shape[1] - 1, wide * wide, 3 * wide
    shape = np.array([wide, row, wide, lanes, parts - 3 * lanes - 1])
    numbers = heads * parts
    room = (numbers + -numbers % WIDTH) * CHUNK
    squares = np.zeros((max(3, lanes * (lanes + 1)), CHUNK * CHUNK), kind)
    units, ends = np.zeros(CHUNK * CHUNK, kind), np.zeros((2, CHUNK * CHUNK), kind)
    turned, weighed = np.zeros((6, CHUNK * wide), kind), np.zeros(CHUNK * lanes * wide, kind)
    numbered, table, dtable = np.zeros(room, kind), np.zeros(room, kind), np.zeros(room, kind)
    moves = np.zeros((2, lanes * lanes * CHUNK), kind)
    held, dheld = np.zeros((CHUNK + 1) * lanes * REACH, kind), np.zeros(2 * lanes * REACH, kind)
    paths, dpaths = np.zeros(CHUNK * REACH, kind), np.zeros(CHUNK * REACH, kind)
    dmade = np.zeros(2 * heads * lanes * area, kind)
    tile, dtile = np.zeros(CHUNK * row, kind), np.zeros(CHUNK * row, kind)
    slope = np.zeros(CHUNK * wide, kind)
    begin_paths(lanes, units, held)
    made, dleft, slopes = kept.ravel(), dmemory.ravel(), dout.ravel()
    dgiven, dnumbers = dmixed.ravel(), dgates.ravel()
    span = heads * lanes * area  # numbers of the memories of a row
    for n in range(batch):
        now, then = 0, span
        # what is no number in the row before is in the room around its memories too
        dmade[:span] = 0
        for h in range(heads):
            at = (n * heads + h) * lanes * size * size
            fill(dleft, at, lanes, size, dmade, h * lanes * area, wide)
        for chunk in range(chunks - 1, -1, -1):
            begin = chunk * CHUNK
            count = min(CHUNK, steps - begin)
            gates_at = n * gates_across + begin * gates_apart
            read_gates(gates, gates_at, gates_apart, count, numbers, numbered, table)
            for h in range(heads):
                place = (n * steps + begin) * heads + h
                old = (n * (chunks + 1) + chunk) * span + h * lanes * area
                for part in range(3):
                    at = n * across + begin * apart + (part * heads + h) * size
                    if chunk > 0:
                        foresee(mixed, at - CHUNK * apart, CHUNK, apart, size)
                    take(mixed, at, apart, count, size, tile, part * wide, row)
                rescale(tile, wide, scale)
                take(slopes, place * size, heads * size, count, size, slope, 0, wide)
                if chunk > 0:
                    foresee(slopes, (place - CHUNK * heads) * size, CHUNK, heads * size, size)
                    foresee(made, old - span, CHUNK, lanes * area // CHUNK, lanes * area // CHUNK)
                gate = h * parts * CHUNK
                dnew, dold = now + h * lanes * area, then + h * lanes * area
                trace(
                    slope,
                    0,
                    wide,
                    tile,
                    0,
                    shape,
                    count,
                    units,
                    turned,
                    weighed,
                    squares,
                    ends,
                    table[gate:],
                    dtable[gate:],
                    moves,
                    held,
                    paths,
                    dheld,
                    dpaths,
                    made,
                    old,
                    dmade,
                    dnew,
                    dold,
                    dtile,
                    slopes,
                    0,
                    0,
                    0,
                )
                rescale(dtile, wide, scale)
                for part in range(3):
                    to = ((n * steps + begin) * 3 * heads + part * heads + h) * size
                    give(dtile, part * wide, row, count, size, dgiven, to, 3 * heads * size)
            place = (n * steps + begin) * numbers
            write_gates(dtable, numbers, count, numbered, dnumbers, place, numbers)
            now, then = then, now
        for h in range(heads):
            at = (n * heads + h) * lanes * size * size
            empty(dmade, now + h * lanes * area, wide, lanes, size, dleft, at)
