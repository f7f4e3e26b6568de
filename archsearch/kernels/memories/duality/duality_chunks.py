"""A chunk of ``WIDTH`` positions of a memory whose keys and queries all heads share.

What position t answers is sum_j G_tj D_tj d_j u_j + r_t S' c_t, where G = C B' is the same for all
heads, S' is the memory before the chunk, D_tj the product of a head's factors after j up to t, r_t
that of all up to t and d_j the step size. So G, S' c_t and all that crosses the chunk's borders is
one product for all heads, whose parts are then weighed.

Rows of ``act`` (C, E + 2 N) are u, b and c of a position; memories are (N, E), a head's columns
beside the next one's; ``gates`` are as :mod:`.duality_gates` writes them.
"""

from __future__ import annotations

import numpy as np

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import WIDTH, fused, load, product, repeated, splat, store
from archsearch.kernels.memories.duality.duality_gates import GATES
from archsearch.kernels.memories.stabilised.stabilised_rows import turn
from archsearch.kernels.memories.stabilised.stabilised_tiles import TALL, join, multiply

SQUARE = WIDTH * WIDTH


@inlined
def weigh(x: np.ndarray, at: int, apart: int, width: int, gates: np.ndarray, of: int) -> None:
    """Multiply each row of a chunk by a number of its own."""
    for i in range(WIDTH):
        one = repeated(gates, of + i)
        for c in range(at + i * apart, at + i * apart + width, WIDTH):
            store(x, c, product(one, load(x, c)))


@inlined
def answer(
    act: np.ndarray,
    heads: int,
    size: int,
    keys: int,
    gates: np.ndarray,
    own: np.ndarray,
    work: np.ndarray,
    added: np.ndarray,
    states: np.ndarray,
    before: int,
    after: int,
    y: np.ndarray,
    to: int,
) -> None:
    """Write the answers (C, E) to y and the memory behind the chunk to ``after``.

    ``own`` is the unit matrix, ``work`` scratch of (keys, C) and two squares, ``added`` of (C, E).
    """
    inner = heads * size
    wide, paths, scores = inner + 2 * keys, keys * WIDTH, keys * WIDTH + SQUARE
    zero, one = splat(act.dtype.type(0)), act.dtype.type(1)
    b, c = inner, inner + keys
    turn(act, b, wide, WIDTH, keys, work)
    multiply(act, c, wide, 1, work, 0, WIDTH, work, paths, WIDTH, WIDTH, WIDTH, keys)
    multiply(act, c, wide, 1, states, before, inner, y, to, inner, WIDTH, inner, keys)
    for i in range(0, keys * inner, WIDTH):
        store(states, after + i, load(states, before + i))
    for h in range(heads):
        first, gate = h * size, h * GATES
        fade, steps = zero, load(gates, gate)
        for i in range(WIDTH):
            fade = fused(
                repeated(gates, gate + WIDTH + i), fade, product(steps, load(own, i * WIDTH))
            )
            store(work, scores + i * WIDTH, product(load(work, paths + i * WIDTH), fade))
        store(work, 0, fade)
        weigh(y, to + first, inner, size, gates, gate + 2 * WIDTH)
        for i in range(0, WIDTH, TALL):
            join(
                *(one, work, scores + i * WIDTH, WIDTH, 1, act, first, wide),
                *(y, to + i * inner + first, inner, TALL, size, i + TALL),
            )
        for i in range(WIDTH):
            share = repeated(work, i)
            for p in range(first, first + size, WIDTH):
                store(added, i * inner + p, product(share, load(act, i * wide + p)))
        past = gates[gate + 3 * WIDTH - 1]
        join(
            *(past, act, b, 1, wide, added, first, inner),
            *(states, after + first, inner, keys, size, WIDTH),
        )
