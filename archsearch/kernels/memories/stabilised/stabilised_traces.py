"""The way back through a chunk of one head; see ``stabilised_chunks`` for the way there."""

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
    total,
)
from archsearch.kernels.memories.stabilised.stabilised_chunks import SQUARE
from archsearch.kernels.memories.stabilised.stabilised_rows import (
    direction,
    divisor,
    totals,
    turn,
)
from archsearch.kernels.memories.stabilised.stabilised_tiles import TALL, join, multiply
from archsearch.kernels.transpose import transpose

SQUARES = 6  # of scratch, beside those of the memory


@inlined
def patterns(own: np.ndarray) -> None:
    """The unit matrix, then what is below the diagonal, to two squares of zeros."""
    for i in range(WIDTH):
        own[i * WIDTH + i] = 1
        for j in range(i):
            own[SQUARE + i * WIDTH + j] = 1


@inlined
def trace(
    dy: np.ndarray,
    dy_at: int,
    dy_apart: int,
    y: np.ndarray,
    y_at: int,
    y_apart: int,
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
    work: np.ndarray,
    matrix: np.ndarray,
    before: np.ndarray,
    state: int,
    scores: np.ndarray,
    score: int,
    dstates: np.ndarray,
    begin: int,
    dq: np.ndarray,
    dq_at: int,
    dq_apart: int,
    dk: np.ndarray,
    dk_at: int,
    dk_apart: int,
    dv: np.ndarray,
    dv_at: int,
    dv_apart: int,
    dgates: np.ndarray,
    dgates_at: int,
) -> None:
    """Write the slopes of rows and gates; those of the memory go from behind the chunk to before.

    The slopes of the logarithms of shares kept, then of shares added, go to ``dgates``. Slopes of
    answers, queries and keys are weighed in place. ``work`` has room for ``SQUARES``, ``matrix``
    for a memory or a chunk of rows, both to be written to.
    """
    kind = y.dtype.type
    zero, one = splat(kind(0)), splat(kind(1))
    area = wide * wide_v
    norm, dnorm = state + area, begin + area
    dscores, joint, parts, others, rest = SQUARE, 2 * SQUARE, 3 * SQUARE, 4 * SQUARE, 5 * SQUARE
    dsums, reaches, left = rest, rest + WIDTH, rest + 2 * WIDTH
    # through the quotient
    for i in range(WIDTH):
        part = zero
        for c in range(0, wide_v, WIDTH):
            found = load(y, y_at + i * y_apart + c)
            part = fused(load(dy, dy_at + i * dy_apart + c), found, part)
        store(work, parts + i * WIDTH, part)
    sums, least = load(gates, at + 3 * WIDTH), load(gates, at + 2 * WIDTH)
    inverse = quotient(one, divisor(sums, least))
    along = product(totals(work[parts:], work), inverse)
    along = product(along, product(splat(kind(-1)), direction(sums, least)))
    store(work, left, inverse)
    store(work, dsums, along)
    for i in range(WIDTH):
        share = repeated(work, left + i)
        for c in range(dy_at + i * dy_apart, dy_at + i * dy_apart + wide_v, WIDTH):
            store(dy, c, product(share, load(dy, c)))
    # within the chunk
    turn(v, v_at, v_apart, WIDTH, wide_v, matrix)
    multiply(dy, dy_at, dy_apart, 1, matrix, 0, WIDTH, work, dscores, WIDTH, WIDTH, WIDTH, wide_v)
    fade, past = zero, kind(1)
    for i in range(WIDTH):
        kept, share = repeated(gates, at + i), repeated(gates, at + WIDTH + i)
        fade = fused(kept, fade, product(share, load(own, i * WIDTH)))
        slope = fused(one, load(work, dscores + i * WIDTH), repeated(work, dsums + i))
        store(work, dscores + i * WIDTH, product(slope, fade))
        store(work, joint + i * WIDTH, product(slope, load(scores, score + i * WIDTH)))
        past *= gates[at + i]
        work[reaches + i] = past
    store(work, left, fade)
    # what came from before the chunk
    for i in range(0, wide, WIDTH):
        for j in range(0, wide_v, WIDTH):
            transpose(before, state + i * wide_v + j, wide_v, matrix, j * wide + i, wide)
    multiply(dy, dy_at, dy_apart, 1, matrix, 0, wide, dq, dq_at, dq_apart, WIDTH, wide, wide_v)
    for i in range(WIDTH):
        part, far, share = zero, repeated(work, reaches + i), repeated(work, dsums + i)
        for c in range(0, wide, WIDTH):
            here, there = dq_at + i * dq_apart + c, q_at + i * q_apart + c
            back = product(far, fused(share, load(before, norm + c), load(dq, here)))
            part = fused(back, load(q, there), part)
            store(dq, here, back)
        store(work, parts + i * WIDTH, part)
    # what is left behind it
    for i in range(0, wide, WIDTH):
        for j in range(0, wide_v, WIDTH):
            transpose(dstates, begin + i * wide_v + j, wide_v, matrix, j * wide + i, wide)
    multiply(v, v_at, v_apart, 1, matrix, 0, wide, dk, dk_at, dk_apart, WIDTH, wide, wide_v)
    for i in range(WIDTH):
        part, share = zero, repeated(work, left + i)
        for c in range(0, wide, WIDTH):
            here, there = dk_at + i * dk_apart + c, k_at + i * k_apart + c
            back = product(share, fused(one, load(dstates, dnorm + c), load(dk, here)))
            part = fused(back, load(k, there), part)
            store(dk, here, back)
        store(work, others + i * WIDTH, part)
    arrived = totals(work[others:], work)
    store(work, others, arrived)
    even, odd = zero, zero  # an area is a multiple of 256
    for i in range(0, area, 2 * WIDTH):
        even = fused(load(before, state + i), load(dstates, begin + i), even)
        there = begin + i + WIDTH
        odd = fused(load(before, state + i + WIDTH), load(dstates, there), odd)
    for c in range(0, wide, WIDTH):
        even = fused(load(before, norm + c), load(dstates, dnorm + c), even)
    through = past * total(fused(one, even, odd))
    # a share kept is in all paths from before its position to it and beyond
    later, far = zero, zero
    for i in range(WIDTH - 1, -1, -1):
        later = fused(one, load(work, joint + i * WIDTH), later)
        far = fused(one, load(work, parts + i * WIDTH), far)
        below = load(own, SQUARE + i * WIDTH)
        store(work, parts + i * WIDTH, fused(later, below, far))
    store(dgates, dgates_at, totals(work[parts:], work))
    store(dgates, dgates_at + WIDTH, fused(one, arrived, later))
    for i in range(WIDTH):
        dgates[dgates_at + i] += through
        through += work[others + i]
    for i in range(0, WIDTH, TALL):
        row, here = dscores + i * WIDTH, dq_at + i * dq_apart
        join(
            kind(1), work, row, WIDTH, 1, k, k_at, k_apart, dq, here, dq_apart, TALL, wide, i + TALL
        )
        here, there, depth = dk_at + i * dk_apart, q_at + i * q_apart, WIDTH - i
        join(
            kind(1),
            work,
            row + i,
            1,
            WIDTH,
            q,
            there,
            q_apart,
            dk,
            here,
            dk_apart,
            TALL,
            wide,
            depth,
        )
    for i in range(WIDTH):
        far, share = repeated(work, reaches + i), repeated(work, left + i)
        for c in range(0, wide, WIDTH):
            there = q_at + i * q_apart + c
            store(q, there, product(far, load(q, there)))
            there = k_at + i * k_apart + c
            store(k, there, product(share, load(k, there)))
    multiply(k, k_at, k_apart, 1, dstates, begin, wide_v, dv, dv_at, dv_apart, WIDTH, wide_v, wide)
    for i in range(0, WIDTH, TALL):
        row, here, there = score + i * WIDTH + i, dv_at + i * dv_apart, dy_at + i * dy_apart
        depth = WIDTH - i
        join(
            kind(1),
            scores,
            row,
            1,
            WIDTH,
            dy,
            there,
            dy_apart,
            dv,
            here,
            dv_apart,
            TALL,
            wide_v,
            depth,
        )
    join(
        past, q, q_at, 1, q_apart, dy, dy_at, dy_apart, dstates, begin, wide_v, wide, wide_v, WIDTH
    )
    for c in range(0, wide, WIDTH):
        slope = product(splat(past), load(dstates, dnorm + c))
        for i in range(WIDTH):
            slope = fused(repeated(work, dsums + i), load(q, q_at + i * q_apart + c), slope)
        store(dstates, dnorm + c, slope)
