"""What the way back through a chunk of a memory that fades is made of.

Matrices are one-dimensional arrays, row after row; those with a row for each position of a chunk
are zero behind the end of the sequence.
"""

from __future__ import annotations

import numpy as np

from archsearch.kernels.lanes import (
    WIDTH,
    chosen,
    fused,
    load,
    prefetch,
    product,
    quotient,
    repeated,
    splat,
    store,
)
from archsearch.kernels.matrix_loops import part, turn
from archsearch.kernels.memories.memory_loops import CHUNK

SQUARE = CHUNK * CHUNK


@part
def take(x: np.ndarray, at: int, apart: int, count: int, wide: int, chunk: np.ndarray) -> None:
    """Copy ``count`` rows of a chunk and put zeros behind.

    What is walked through in chunks from the end is not foreseen by the processor, so the chunk
    that is next is asked for.
    """
    for s in range(count):
        for c in range(0, wide, WIDTH):
            prefetch(x, at + (s - CHUNK) * apart + c)
            store(chunk, s * wide + c, load(x, at + s * apart + c))
    zero = splat(x.dtype.type(0))
    for place in range(count * wide, CHUNK * wide, WIDTH):
        store(chunk, place, zero)


@part
def find_paths(decay: np.ndarray, at: int, apart: int, count: int, paths: np.ndarray) -> None:
    """``paths`` (CHUNK + 1, CHUNK): what is left at i of what was written at j, and at last what
    is left at each i of what was there before the chunk."""
    one = decay.dtype.type(1)
    row, whole = splat(decay.dtype.type(0)), one
    for i in range(CHUNK):
        keep = decay[at + i * apart] if i < count else one
        whole *= keep
        row = product(row, splat(keep))
        store(paths, i * CHUNK, row)
        paths[i * CHUNK + i] = one
        row = load(paths, i * CHUNK)
        paths[SQUARE + i] = whole


@part
def fall(
    decay: np.ndarray,
    at: int,
    apart: int,
    count: int,
    wide: int,
    fallen: np.ndarray,
    grown: np.ndarray,
) -> None:
    """The products (CHUNK, wide) of each channel's factors so far, and their inverses."""
    one = splat(decay.dtype.type(1))
    for c in range(0, wide, WIDTH):
        whole, back = one, one
        for s in range(CHUNK):
            if s < count:
                whole = product(whole, load(decay, at + s * apart + c))
                back = quotient(one, whole)
            store(fallen, s * wide + c, whole)
            store(grown, s * wide + c, back)


@part
def head_slopes(
    met: np.ndarray,
    past: np.ndarray,
    reader: np.ndarray,
    outer_q: np.ndarray,
    writer: np.ndarray,
    outer_k: np.ndarray,
    held: np.ndarray,
    dheld: np.ndarray,
    whole: float,
    wide: int,
    sums: np.ndarray,
    turned: np.ndarray,
) -> None:
    """``turned`` begins with the slope of each position's factor times the factor."""
    zero = splat(met.dtype.type(0))
    one = splat(met.dtype.type(1))
    through = zero
    for place in range(0, held.size, WIDTH):
        through = fused(load(held, place), load(dheld, place), through)
    through = product(through, splat(whole))
    # the later ones of each pair, from the last position on
    later = zero
    for s in range(CHUNK - 1, -1, -1):
        for row in range(s * wide, (s + 1) * wide, WIDTH):
            later = fused(load(reader, row), load(outer_q, row), later)
        store(sums, s * CHUNK, later)
    pairs, wrote = zero, through
    for s in range(CHUNK):
        store(sums, s * CHUNK, fused(load(sums, s * CHUNK), one, wrote))
        for row in range(s * wide, (s + 1) * wide, WIDTH):
            wrote = fused(load(writer, row), load(outer_k, row), wrote)
    for s in range(CHUNK - 1, -1, -1):
        pairs = fused(load(met, s * CHUNK), one, pairs)
        before = chosen(load(past, s * CHUNK), pairs)
        store(sums, s * CHUNK, fused(load(sums, s * CHUNK), one, before))
    turn(sums, 0, turned, CHUNK, CHUNK)
    found = zero
    for s in range(CHUNK):
        found = fused(load(turned, s * CHUNK), one, found)
    store(turned, 0, found)


@part
def channel_slopes(
    dscores: np.ndarray,
    near_q: np.ndarray,
    near_k: np.ndarray,
    reader: np.ndarray,
    outer_q: np.ndarray,
    writer: np.ndarray,
    outer_k: np.ndarray,
    held: np.ndarray,
    dheld: np.ndarray,
    fallen: np.ndarray,
    count: int,
    wide: int,
    later: np.ndarray,
    passed: np.ndarray,
    ddecay: np.ndarray,
    to: int,
    across: int,
) -> None:
    zero, one = splat(near_q.dtype.type(0)), splat(near_q.dtype.type(1))
    last = (CHUNK - 1) * wide
    for c in range(0, wide, WIDTH):
        through, place = zero, c
        for _ in range(held.size // wide):
            through = fused(load(held, place), load(dheld, place), through)
            place += wide
        read = zero
        for s in range(count - 1, -1, -1):
            row = s * wide + c
            read = fused(load(reader, row), load(outer_q, row), read)
            store(later, s * WIDTH, read)
            store(passed, s * WIDTH, zero)
        wrote = product(through, load(fallen, last + c))
        key = zero
        for s in range(count):
            row = s * wide + c
            sums = fused(load(later, s * WIDTH), one, wrote)
            wrote = fused(load(writer, row), load(outer_k, row), wrote)
            if s > 0:
                query = row
                for i in range(s, count):
                    pair = fused(repeated(dscores, i * CHUNK + s - 1), key, load(passed, i * WIDTH))
                    store(passed, i * WIDTH, pair)
                    sums = fused(pair, load(near_q, query), sums)
                    query += wide
            key = load(near_k, row)
            store(ddecay, to + s * across + c, sums)
