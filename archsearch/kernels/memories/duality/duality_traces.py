"""The slopes of a chunk of a memory whose keys and queries all heads share.

With the slopes dy of the answers, dS of the memory left and dP_tj = dy_t . u_j of a head: those of
d u are D' G' dy + r' dS' b, those of G the sum over heads of dP D d, and the slope of a factor's
logarithm is what the positions from it on answer times its slope, less what they add times its, and
the memory left times dS. All squares are turned, (j, t). Arrays are as in :mod:`.duality_chunks`.
"""

from __future__ import annotations

import numpy as np

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lane_functions import totals
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
from archsearch.kernels.memories.duality.duality_chunks import SQUARE, weigh
from archsearch.kernels.memories.duality.duality_gates import GATES, shut_gates
from archsearch.kernels.memories.stabilised.stabilised_rows import turn
from archsearch.kernels.memories.stabilised.stabilised_tiles import TALL, join, multiply
from archsearch.kernels.transpose import transpose

SQUARES = 5  # of scratch


@inlined
def overlap(
    x: np.ndarray, at: int, apart: int, y: np.ndarray, to: int, under: int, width: int,
    rows: np.ndarray, begin: int,
) -> None:  # fmt: skip
    """Write vectors whose sums are the products of the rows of x and y."""
    zero = splat(x.dtype.type(0))
    for i in range(WIDTH):
        sums = zero
        for c in range(0, width, WIDTH):
            sums = fused(load(x, at + i * apart + c), load(y, to + i * under + c), sums)
        store(rows, begin + i * WIDTH, sums)


@inlined
def trace(
    dy: np.ndarray,
    y: np.ndarray,
    to: int,
    act: np.ndarray,
    heads: int,
    size: int,
    keys: int,
    count: int,
    gates: np.ndarray,
    logits: np.ndarray,
    rate: np.ndarray,
    own: np.ndarray,
    work: np.ndarray,
    turns: np.ndarray,
    du: np.ndarray,
    states: np.ndarray,
    before: int,
    after: int,
    dstates: np.ndarray,
    begin: int,
    dact: np.ndarray,
    dbias: np.ndarray,
    drate: np.ndarray,
) -> None:
    """Add to the slopes of u in ``dact``, write those of b and c, and of ``logits`` in place.

    ``dy`` (C, E) is changed; ``dstates`` is made that of the memory before. Scratch: ``work`` of
    :data:`SQUARES` squares, ``turns`` of two (E, C) and (keys, C), ``du`` of (C, E).
    """
    inner = heads * size
    wide, b, c = inner + 2 * keys, inner, inner + keys
    zero, one = splat(dy.dtype.type(0)), dy.dtype.type(1)
    asked, given, reads = 0, inner * WIDTH, 2 * inner * WIDTH
    paths, dpaths, scores, dscores, rows = 0, SQUARE, 2 * SQUARE, 3 * SQUARE, 4 * SQUARE
    turn(act, c, wide, WIDTH, keys, turns[reads:])
    multiply(act, b, wide, 1, turns, reads, WIDTH, work, paths, WIDTH, WIDTH, WIDTH, keys)
    multiply(act, b, wide, 1, dstates, begin, inner, du, 0, inner, WIDTH, inner, keys)
    turn(dy, 0, inner, WIDTH, inner, turns)
    turn(act, 0, wide, WIDTH, inner, turns[given:])
    for i in range(0, SQUARE, WIDTH):
        store(work, dpaths + i, zero)
    for h in range(heads):
        first, gate = h * size, h * GATES
        multiply(
            *(act, first, wide, 1, turns, asked + first * WIDTH, WIDTH),
            *(work, dscores, WIDTH, WIDTH, WIDTH, size),
        )
        fade, factor = zero, zero
        for i in range(WIDTH - 1, -1, -1):
            at, step = i * WIDTH, repeated(gates, gate + i)
            fade = fused(factor, fade, load(own, at))
            factor = repeated(gates, gate + WIDTH + i)
            store(work, scores + at, product(load(work, paths + at), fade))
            slope = product(fade, load(work, dscores + at))
            store(work, dpaths + at, fused(step, slope, load(work, dpaths + at)))
        weigh(du, first, inner, size, gates, gate + 3 * WIDTH)
        for i in range(0, WIDTH, TALL):
            # no position is seen by those before it
            join(
                *(one, work, scores + i * WIDTH + i, WIDTH, 1, dy, i * inner + first, inner),
                *(du, i * inner + first, inner, TALL, size, WIDTH - i),
            )
        overlap(dy, first, inner, y, to + first, inner, size, work, rows)
        answered = totals(work, rows)
        overlap(du, first, inner, act, first, wide, size, work, rows)
        written = totals(work, rows)
        whole = zero
        for k in range(0, keys * inner, inner):
            for p in range(first + k, first + k + size, WIDTH):
                whole = fused(load(states, after + p), load(dstates, begin + p), whole)
        reach = load(gates, gate + 2 * WIDTH)
        rest = product(load(gates, gate), load(gates, gate + 3 * WIDTH))
        more, faster = shut_gates(
            gates, logits, h, count, rate[h], total(whole), answered, written, work[rows:]
        )
        dbias[h] += more
        drate[h] += faster
        for p in range(first * WIDTH, (first + size) * WIDTH, WIDTH):
            store(turns, asked + p, product(reach, load(turns, asked + p)))
            store(turns, given + p, product(rest, load(turns, given + p)))
        weigh(dy, first, inner, size, gates, gate + 2 * WIDTH)
        for i in range(WIDTH):
            step = repeated(gates, gate + i)
            for p in range(first, first + size, WIDTH):
                at = i * wide + p
                store(dact, at, fused(step, load(du, i * inner + p), load(dact, at)))
    multiply(
        *(dstates, begin, inner, 1, turns, given, WIDTH, turns, reads, WIDTH, keys, WIDTH, inner)
    )
    for k in range(0, keys, WIDTH):
        transpose(turns, reads + k * WIDTH, WIDTH, dact, b + k, wide)
    multiply(
        *(states, before, inner, 1, turns, asked, WIDTH, turns, reads, WIDTH, keys, WIDTH, inner)
    )
    for k in range(0, keys, WIDTH):
        transpose(turns, reads + k * WIDTH, WIDTH, dact, c + k, wide)
    join(one, work, dpaths, WIDTH, 1, act, c, wide, dact, b, wide, WIDTH, keys, WIDTH)
    join(one, work, dpaths, 1, WIDTH, act, b, wide, dact, c, wide, WIDTH, keys, WIDTH)
    for h in range(heads):
        first, past = h * size, gates[h * GATES + 3 * WIDTH - 1]
        join(
            *(past, act, c, 1, wide, dy, first, inner),
            *(dstates, begin + first, inner, keys, size, WIDTH),
        )
