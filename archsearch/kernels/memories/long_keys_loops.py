"""The loops of a memory that fades and overwrites, of more keys than registers hold.

M_t = a_t S_{t-1}, w_t = v_t - M_t' k_t, S_t = M_t + beta_t k_t w_t', o_t = S_t' q_t. The memories
of a row stay in the nearest cache from the first position to the last, so this costs less than
products over chunks of positions.

Arrays: ``q``, ``k`` (B, T, H, K), ``v`` (B, T, H, V), ``decay`` and ``beta`` (B, T, H), with K and
V filled up with zeros to multiples of ``WIDTH``; memories have their true sizes. ``decay`` may be
one in its first two dimensions. ``q`` and ``out`` may have T / n positions: then the memory is
asked after every n-th.

``q``, ``k`` and ``v`` are read where they lie. ``places`` has B, T, H and V, the positions of
``q``, and how far the positions of ``q``, ``k`` and ``v`` lie apart.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import WIDTH, fused, load, prefetch, product, splat, store, total

CHUNK = 16  # positions whose memories the backward pass holds at once

contracted = partial(compiled, contracted=True)


@inlined
def fetch(array: np.ndarray, begin: int, count: int) -> None:
    """What is walked through in chunks from the end is not foreseen by the processor."""
    for at in range(begin, begin + count, WIDTH):
        prefetch(array, at)


@contracted
def forward(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    decay: np.ndarray,
    beta: np.ndarray,
    memory: np.ndarray,
    out: np.ndarray,
    written: np.ndarray,
    kept: np.ndarray,
    places: np.ndarray,
) -> None:
    """``memory`` (B, H, K, V) is the one before, then the one that is left.

    ``written`` is w, ``kept`` (B, H, chunks, K, V) holds the memories before each chunk.
    """
    batch, steps, heads, wide, asks, q_apart, k_apart, v_apart = places
    (keys, values), long = memory.shape[2:], kept.shape[3]
    an, at = int(decay.shape[0] > 1) * decay.shape[1], int(decay.shape[1] > 1)
    rates, strengths = decay.ravel(), beta.ravel()
    each, area = steps // asks, (keys + keys % 2) * wide
    states = np.zeros(heads * area, v.dtype)
    zero, one = splat(v.dtype.type(0)), splat(v.dtype.type(1))
    for n in range(batch):
        for h in range(heads):
            for i in range(keys):
                for j in range(values):
                    states[h * area + i * wide + j] = memory[n, h, i, j]
        for t in range(steps):
            for h in range(heads):
                place = (n * steps + t) * heads + h
                asked, turn = (t + 1) % each == 0, n * asks + t // each
                query = turn * q_apart + h * long
                name = (n * steps + t) * k_apart + h * long
                keep = splat(rates[(n * an + t * at) * heads + h])
                less = splat(-rates[(n * an + t * at) * heads + h])
                if t % CHUNK == 0:
                    save = ((n * heads + h) * kept.shape[2] + t // CHUNK) * long * wide
                    for at_ in range(0, long * wide, WIDTH):
                        held = load(states, h * area + at_) if at_ < keys * wide else zero
                        store(kept, save + at_, held)
                for c in range(0, wide, WIDTH):
                    begin, end = h * area + c, h * area + keys * wide
                    value = load(v, (n * steps + t) * v_apart + h * wide + c)
                    even, odd = zero, zero
                    i = 0
                    for row in range(begin, end, 2 * wide):
                        even = fused(splat(k[name + i]), load(states, row), even)
                        odd = fused(splat(k[name + i + 1]), load(states, row + wide), odd)
                        i += 2
                    value = fused(less, even, fused(less, odd, value))
                    store(written, place * wide + c, value)
                    value = product(splat(strengths[place]), value)
                    even, odd = zero, zero
                    i = 0
                    for row in range(begin, end, 2 * wide):
                        a = product(keep, load(states, row))
                        b = product(keep, load(states, row + wide))
                        a = fused(splat(k[name + i]), value, a)
                        b = fused(splat(k[name + i + 1]), value, b)
                        store(states, row, a)
                        store(states, row + wide, b)
                        even = fused(splat(q[query + i]), a, even)
                        odd = fused(splat(q[query + i + 1]), b, odd)
                        i += 2
                    if asked:
                        store(out, (turn * heads + h) * wide + c, fused(even, one, odd))
        for h in range(heads):
            for i in range(keys):
                for j in range(values):
                    memory[n, h, i, j] = states[h * area + i * wide + j]


@contracted
def backward(
    dout: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    decay: np.ndarray,
    beta: np.ndarray,
    kept: np.ndarray,
    dmemory: np.ndarray,
    dq: np.ndarray,
    dk: np.ndarray,
    dv: np.ndarray,
    ddecay: np.ndarray,
    dbeta: np.ndarray,
    places: np.ndarray,
) -> None:
    """``v`` is w. ``dmemory`` is that of the memory left, then of the first; ``ddecay`` (B, T, H)
    may be left out."""
    batch, steps, heads, wide_v, asks, q_apart, k_apart, _ = places
    keys, values = dmemory.shape[2:]
    wide = dq.shape[3]
    dq_apart = heads * wide
    an, at = int(decay.shape[0] > 1) * decay.shape[1], int(decay.shape[1] > 1)
    rates, strengths, given, slopes = decay.ravel(), beta.ravel(), v, dout.ravel()
    dgiven, drates, dstrengths = dv.ravel(), ddecay.ravel(), dbeta.ravel()
    # memories transposed (V, K), so that sums over values are sums of rows
    area = values * wide
    states = np.zeros((CHUNK + 1) * area, v.dtype)
    dstates = np.zeros(heads * area, v.dtype)
    zero, each = splat(v.dtype.type(0)), steps // asks
    for n in range(batch):
        for h in range(heads):
            for j in range(values):
                for i in range(keys):
                    dstates[h * area + j * wide + i] = dmemory[n, h, i, j]
        for chunk in range((steps - 1) // CHUNK, -1, -1):
            count = min(CHUNK, steps - chunk * CHUNK)
            for h in range(heads):
                for j in range(values):
                    for i in range(keys):
                        states[j * wide + i] = kept[n, h, chunk, i, j]
                for s in range(count):
                    t = chunk * CHUNK + s
                    place = (n * steps + t) * heads + h
                    here = place * wide_v
                    query = (n * asks + t // each) * q_apart + h * wide
                    name = (n * steps + t) * k_apart + h * wide
                    dquery_at = (n * asks + t // each) * dq_apart + h * wide
                    dname = (n * steps + t) * dq_apart + h * wide
                    keep = splat(rates[(n * an + t * at) * heads + h])
                    asked = (t + 1) % each == 0
                    answer = ((n * asks + t // each) * heads + h) * wide_v
                    for c in range(0, wide, WIDTH):
                        key = product(load(k, name + c), splat(strengths[place]))
                        dquery = zero
                        row = s * area + c
                        for j in range(values):
                            state = product(keep, load(states, row))
                            state = fused(key, splat(given[here + j]), state)
                            store(states, row + area, state)
                            if asked:
                                dquery = fused(state, splat(slopes[answer + j]), dquery)
                            row += wide
                        if asked:
                            store(dq, dquery_at + c, dquery)
                for s in range(count - 1, -1, -1):
                    t = chunk * CHUNK + s
                    place = (n * steps + t) * heads + h
                    here = place * wide_v
                    query = (n * asks + t // each) * q_apart + h * wide
                    name = (n * steps + t) * k_apart + h * wide
                    dquery_at = (n * asks + t // each) * dq_apart + h * wide
                    dname = (n * steps + t) * dq_apart + h * wide
                    keep = splat(rates[(n * an + t * at) * heads + h])
                    fetch(q, query - CHUNK // each * q_apart, wide)
                    fetch(dq, dquery_at - CHUNK // each * dq_apart, wide)
                    fetch(k, name - CHUNK * k_apart, wide)
                    fetch(dk, dname - CHUNK * dq_apart, wide)
                    fetch(v, here - CHUNK * heads * wide_v, wide_v)
                    fetch(dv, here - CHUNK * heads * wide_v, wide_v)
                    fetch(dout, here - CHUNK * heads * wide_v, wide_v)
                    asked = (t + 1) % each == 0
                    answer = ((n * asks + t // each) * heads + h) * wide_v
                    strength, sums = strengths[place], v.dtype.type(0)
                    for c in range(0, wide, WIDTH):
                        reader, key = load(q, query + c) if asked else zero, load(k, name + c)
                        dkey = zero
                        row = h * area + c
                        for j in range(values):
                            slope = fused(reader, splat(slopes[answer + j]), load(dstates, row))
                            part = total(product(slope, key))
                            dgiven[here + j] = part if c == 0 else dgiven[here + j] + part
                            dkey = fused(slope, splat(strength * given[here + j]), dkey)
                            store(dstates, row, slope)
                            row += wide
                        store(dk, dname + c, dkey)
                    dstrength = v.dtype.type(0)
                    for j in range(values):
                        dstrength += dgiven[here + j] * given[here + j]
                        dgiven[here + j] *= strength
                    dstrengths[place] = dstrength
                    for c in range(0, wide, WIDTH):
                        key = load(k, name + c)
                        dkey, dkeep = zero, zero
                        row, before = h * area + c, s * area + c
                        for j in range(values):
                            back = splat(-dgiven[here + j])
                            held = load(states, before)
                            slope = fused(key, back, load(dstates, row))
                            store(dstates, row, product(slope, keep))
                            dkey = fused(held, back, dkey)
                            dkeep = fused(slope, held, dkeep)
                            row += wide
                            before += wide
                        store(dk, dname + c, fused(keep, dkey, load(dk, dname + c)))
                        sums += total(dkeep)
                    if ddecay.size > 0:
                        drates[place] = sums
        for h in range(heads):
            for j in range(values):
                for i in range(keys):
                    dmemory[n, h, i, j] = dstates[h * area + j * wide + i]
