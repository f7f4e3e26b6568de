"""A chunk of ``WIDTH`` positions of one head of a stabilised memory.

Within a chunk, S_t q_t = sum_j P_tj v_j + r_t S' q_t, where S' is the memory before the chunk,
P_tj = D_tj (q_t . k_j), and D and r are products of the shares kept and added:
D_t = kept_t D_{t-1} with added_t in place t, r_t = kept_t r_{t-1}. Each is between nothing and one
factor at most above it, so no exponential of a difference is taken, and none can overflow.

Rows of queries, keys and values are found by where the first begins and how far they are apart,
and are multiples of ``WIDTH`` long. ``gates`` has from ``at`` on ``WIDTH`` shares kept, as many
added, least divisors and sums q . n, of which the last are written; a position that there is not
keeps all and adds nothing. ``states`` is the memory (K, V) and behind it its sum of keys n.
"""

from __future__ import annotations

import numpy as np

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import (
    WIDTH,
    fused,
    load,
    product,
    quotient,
    repeated,
    splat,
    store,
)
from archsearch.kernels.memories.stabilised.stabilised_rows import divisor, totals, turn
from archsearch.kernels.memories.stabilised.stabilised_tiles import TALL, join, multiply

SQUARE = WIDTH * WIDTH


@inlined
def units(own: np.ndarray) -> None:
    """The unit matrix (C, C) to an array of zeros."""
    for i in range(WIDTH):
        own[i * WIDTH + i] = 1


@inlined
def answer(
    q: np.ndarray,
    q_at: int,
    q_apart: int,
    k: np.ndarray,
    k_at: int,
    k_apart: int,
    v: np.ndarray,
    v_at: int,
    v_apart: int,
    wide: int,
    wide_v: int,
    gates: np.ndarray,
    at: int,
    own: np.ndarray,
    turned: np.ndarray,
    paths: np.ndarray,
    states: np.ndarray,
    begin: int,
    scores: np.ndarray,
    score: int,
    y: np.ndarray,
    to: int,
    under: int,
) -> None:
    """Write the answers to y, P to ``scores``, and take the memory at ``begin`` behind the chunk.

    Queries and keys are weighed in place. ``turned`` and ``paths`` are scratch, of (wide, C) and
    two (C, C); ``own`` is the unit matrix.
    """
    kind = y.dtype.type
    zero, one = splat(kind(0)), splat(kind(1))
    norm, parts = begin + wide * wide_v, SQUARE
    turn(k, k_at, k_apart, WIDTH, wide, turned)
    multiply(q, q_at, q_apart, 1, turned, 0, WIDTH, paths, 0, WIDTH, WIDTH, WIDTH, wide)
    fade, reach = zero, one
    for i in range(WIDTH):
        kept, share = repeated(gates, at + i), repeated(gates, at + WIDTH + i)
        fade = fused(kept, fade, product(share, load(own, i * WIDTH)))
        part = product(load(paths, i * WIDTH), fade)
        store(scores, score + i * WIDTH, part)
        reach = product(kept, reach)
        for c in range(q_at + i * q_apart, q_at + i * q_apart + wide, WIDTH):
            seen = product(reach, load(q, c))
            store(q, c, seen)
            part = fused(seen, load(states, norm + c - q_at - i * q_apart), part)
        store(paths, parts + i * WIDTH, part)
    sums = totals(paths[parts:], turned)
    store(gates, at + 3 * WIDTH, sums)
    store(paths, 0, quotient(one, divisor(sums, load(gates, at + 2 * WIDTH))))
    store(paths, WIDTH, fade)
    for i in range(0, WIDTH, TALL):
        row, here, depth = score + i * WIDTH, to + i * under, i + TALL
        multiply(scores, row, WIDTH, 1, v, v_at, v_apart, y, here, under, TALL, wide_v, depth)
    join(kind(1), q, q_at, q_apart, 1, states, begin, wide_v, y, to, under, WIDTH, wide_v, wide)
    for i in range(WIDTH):
        inverse, share = repeated(paths, i), repeated(paths, WIDTH + i)
        for c in range(to + i * under, to + i * under + wide_v, WIDTH):
            store(y, c, product(inverse, load(y, c)))
        for c in range(k_at + i * k_apart, k_at + i * k_apart + wide, WIDTH):
            store(k, c, product(share, load(k, c)))
    store(paths, 0, reach)
    past = paths[0]
    join(past, k, k_at, 1, k_apart, v, v_at, v_apart, states, begin, wide_v, wide, wide_v, WIDTH)
    for c in range(0, wide, WIDTH):
        sums = product(reach, load(states, norm + c))
        for i in range(WIDTH):
            sums = fused(one, load(k, k_at + i * k_apart + c), sums)
        store(states, norm + c, sums)
