"""The way back through a matrix memory that fades, in chunks of positions.

S_t = diag(a_t) S_{t-1} + k_t v_t', o_t = S_t' q_t. Inside a chunk positions meet in products of
matrices, which stay in the nearest cache; between chunks only the slope of the memory travels. What
a chunk keeps from one position to another is a product of factors, or where each key channel has
its own, a quotient of two such products; those factors are exp(-5) in size or more. The slope of a
factor is a sum over all that passes it, in which nothing cancels that need not.

Arrays as in :mod:`archsearch.kernels.memories.memory_loops`.
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import WIDTH, chosen, fused, load, prefetch, product, splat, store
from archsearch.kernels.matrix_loops import add_product, put_product, turn
from archsearch.kernels.memories.fading_parts import (
    SQUARE,
    channel_slopes,
    fall,
    find_paths,
    head_slopes,
    take,
)
from archsearch.kernels.memories.memory_loops import CHUNK

# lies in the middle between one and the inverse of the smallest product of a chunk's factors
CENTRE = math.exp(5.0 * CHUNK / 2)

contracted = partial(compiled, contracted=True)


@contracted
def backward(
    dout: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    decay: np.ndarray,
    kept: np.ndarray,
    dmemory: np.ndarray,
    dq: np.ndarray,
    dk: np.ndarray,
    dv: np.ndarray,
    ddecay: np.ndarray,
) -> None:
    """``dmemory`` is that of the memory left, then of the first; ``dq`` and ``dk`` are zero at
    first where heads share them. ``ddecay``, (B, T, H, .) or left out, is the slope of a factor
    times the factor, which is that of its logarithm."""
    batch, steps, heads, wide_v = v.shape
    keys, values = dmemory.shape[2:]
    wide = q.shape[3]
    own, wanted = decay.shape[3] > 1, ddecay.size > 0
    qh, kh = int(q.shape[2] > 1), int(k.shape[2] > 1)
    an, at = int(decay.shape[0] > 1) * decay.shape[1], int(decay.shape[1] > 1)
    q_apart, k_apart, v_apart = q.shape[2] * wide, k.shape[2] * wide, heads * wide_v
    rate_apart, drate_apart = at * heads * decay.shape[3], heads * decay.shape[3]
    rates, memories = decay.ravel(), kept.ravel()
    queries, names, given, slopes = q.ravel(), k.ravel(), v.ravel(), dout.ravel()
    dqueries, dnames, dgiven, drates = dq.ravel(), dk.ravel(), dv.ravel(), ddecay.ravel()
    kind = v.dtype
    one = splat(kind.type(1))
    centre, inverse = splat(kind.type(CENTRE)), splat(kind.type(1 / CENTRE))
    area = wide * wide_v
    chunks = np.zeros((14, CHUNK * wide), kind)
    q0, k0, reader, writer = chunks[0], chunks[1], chunks[2], chunks[3]
    near_q, near_k, fallen, grown = chunks[4], chunks[5], chunks[6], chunks[7]
    inner_q, inner_k, outer_q, outer_k = chunks[8], chunks[9], chunks[10], chunks[11]
    turned_k = chunks[12]
    vectors = np.zeros((4, CHUNK * wide_v), kind)
    v0, slope, inner_v, turned_v = vectors[0], vectors[1], vectors[2], vectors[3]
    squares = np.zeros((6, SQUARE), kind)
    scores, dscores, met, past = squares[0], squares[1], squares[2], squares[3]
    sums, turned = squares[4], squares[5]
    paths = np.zeros(SQUARE + CHUNK, kind)
    for i in range(CHUNK):
        for j in range(i):
            past[i * CHUNK + j] = 1
    dstates = np.zeros((heads, area), kind)
    held, dheld = np.zeros(area, kind), np.zeros(area, kind)
    for n in range(batch):
        for h in range(heads):
            for i in range(keys):
                for j in range(values):
                    dstates[h, i * wide_v + j] = dmemory[n, h, i, j]
        for chunk in range((steps - 1) // CHUNK, -1, -1):
            begin, count = n * steps + chunk * CHUNK, min(CHUNK, steps - chunk * CHUNK)
            for h in range(heads):
                here, dstate = (begin * heads + h) * wide_v, dstates[h]
                query, name = begin * q_apart + h * qh * wide, begin * k_apart + h * kh * wide
                rate = ((n * an + chunk * CHUNK * at) * heads + h) * decay.shape[3]
                drate = (begin * heads + h) * decay.shape[3]
                take(queries, query, q_apart, count, wide, q0)
                take(names, name, k_apart, count, wide, k0)
                take(given, here, v_apart, count, wide_v, v0)
                take(slopes, here, v_apart, count, wide_v, slope)
                if own:
                    fall(rates, rate, rate_apart, count, wide, fallen, grown)
                    for s in range(CHUNK):
                        for c in range(0, wide, WIDTH):
                            row = s * wide + c
                            read = product(load(q0, row), load(fallen, row))
                            store(reader, row, read)
                            store(near_q, row, product(read, centre))
                            named = product(load(k0, row), product(load(grown, row), inverse))
                            store(near_k, row, named)
                            left = product(load(fallen, (CHUNK - 1) * wide + c), load(grown, row))
                            store(writer, row, product(load(k0, row), left))
                    turn(near_k, 0, turned_k, CHUNK, wide)
                    put_product(near_q, wide, 1, turned_k, scores, CHUNK, keys, CHUNK)
                else:
                    find_paths(rates, rate, rate_apart, count, paths)
                    for s in range(CHUNK):
                        reach, left = splat(paths[SQUARE + s]), splat(paths[SQUARE - CHUNK + s])
                        for row in range(s * wide, (s + 1) * wide, WIDTH):
                            store(reader, row, product(load(q0, row), reach))
                            store(writer, row, product(load(k0, row), left))
                    turn(k0, 0, turned_k, CHUNK, wide)
                    put_product(q0, wide, 1, turned_k, scores, CHUNK, keys, CHUNK)
                turn(v0, 0, turned_v, CHUNK, wide_v)
                place = ((n * heads + h) * kept.shape[2] + chunk) * area
                turn(memories, place, held, wide, wide_v)
                for row in range(place - area, place, WIDTH):
                    prefetch(memories, row)
                turn(dstate, 0, dheld, wide, wide_v)
                put_product(slope, wide_v, 1, turned_v, dscores, CHUNK, values, CHUNK)
                if own:
                    for i in range(CHUNK):
                        # between one position and itself nothing fades
                        past[i * CHUNK + i] = 1
                        marks = load(past, i * CHUNK)
                        store(scores, i * CHUNK, chosen(marks, load(scores, i * CHUNK)))
                        store(dscores, i * CHUNK, chosen(marks, load(dscores, i * CHUNK)))
                else:
                    for place in range(0, SQUARE, WIDTH):
                        share, score = load(paths, place), load(scores, place)
                        dscore = product(load(dscores, place), share)
                        store(met, place, product(dscore, score))
                        store(scores, place, product(score, share))
                        store(dscores, place, dscore)
                put_product(scores, 1, CHUNK, slope, inner_v, CHUNK, CHUNK, wide_v)
                add_product(writer, wide, 1, dstate, inner_v, CHUNK, keys, wide_v)
                put_product(slope, wide_v, 1, held, outer_q, CHUNK, values, wide)
                put_product(v0, wide_v, 1, dheld, outer_k, CHUNK, values, wide)
                if own:
                    put_product(dscores, CHUNK, 1, near_k, inner_q, CHUNK, CHUNK, wide)
                    put_product(dscores, 1, CHUNK, near_q, inner_k, CHUNK, CHUNK, wide)
                else:
                    put_product(dscores, CHUNK, 1, k0, inner_q, CHUNK, CHUNK, wide)
                    put_product(dscores, 1, CHUNK, q0, inner_k, CHUNK, CHUNK, wide)
                for s in range(count):
                    for c in range(0, wide, WIDTH):
                        row = s * wide + c
                        if own:
                            reach, back = load(fallen, row), load(grown, row)
                            left = product(load(fallen, (CHUNK - 1) * wide + c), back)
                            near = product(load(inner_q, row), centre)
                            found = product(reach, fused(near, one, load(outer_q, row)))
                            written = product(product(back, inverse), load(inner_k, row))
                            written = fused(left, load(outer_k, row), written)
                        else:
                            reach, left = splat(paths[SQUARE + s]), splat(paths[SQUARE - CHUNK + s])
                            found = fused(reach, load(outer_q, row), load(inner_q, row))
                            written = fused(left, load(outer_k, row), load(inner_k, row))
                        target = query + s * q_apart + c
                        if q.shape[2] < heads:
                            found = fused(found, one, load(dqueries, target))
                        store(dqueries, target, found)
                        prefetch(dqueries, target - CHUNK * q_apart)
                        target = name + s * k_apart + c
                        if k.shape[2] < heads:
                            written = fused(written, one, load(dnames, target))
                        store(dnames, target, written)
                        prefetch(dnames, target - CHUNK * k_apart)
                    for c in range(0, wide_v, WIDTH):
                        target = here + s * v_apart + c
                        store(dgiven, target, load(inner_v, s * wide_v + c))
                        prefetch(dgiven, target - CHUNK * v_apart)
                if wanted and own:
                    channel_slopes(
                        dscores,
                        near_q,
                        near_k,
                        reader,
                        outer_q,
                        writer,
                        outer_k,
                        held,
                        dheld,
                        fallen,
                        count,
                        wide,
                        inner_q,
                        inner_k,
                        drates,
                        drate,
                        drate_apart,
                    )
                elif wanted:
                    head_slopes(
                        met,
                        past,
                        reader,
                        outer_q,
                        writer,
                        outer_k,
                        held,
                        dheld,
                        paths[SQUARE + CHUNK - 1],
                        wide,
                        sums,
                        turned,
                    )
                    for s in range(count):
                        drates[drate + s * heads] = turned[s]
                for i in range(keys):
                    whole = fallen[(CHUNK - 1) * wide + i] if own else paths[SQUARE + CHUNK - 1]
                    for row in range(i * wide_v, (i + 1) * wide_v, WIDTH):
                        store(dstate, row, product(load(dstate, row), splat(whole)))
                add_product(reader, 1, wide, slope, dstate, keys, CHUNK, wide_v)
        for h in range(heads):
            for i in range(keys):
                for j in range(values):
                    dmemory[n, h, i, j] = dstates[h, i * wide_v + j]
