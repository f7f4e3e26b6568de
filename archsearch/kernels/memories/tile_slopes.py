"""The loops of the way back through a matrix memory, a tile of it at a time.

Arrays as in :mod:`archsearch.kernels.memories.tile_loops`. Three passes, each with one tile in
registers: the slopes of the memory from the last position to the first, then the same with keys
and values changed about, then the memory itself, so changed about, from the first to the last.
Where D_t is the slope of log a_t, D_t = D_{t+1} + q dq - k dk for every key channel, what an
overwriting memory does to dk with its sign turned: no memory need be held. Every ``CHUNK``
positions D is found anew from the memory and its slopes, so that rounding errors do not gather.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np

from archsearch.kernels.compiled import Loop, compiled
from archsearch.kernels.tiles import (
    columns,
    fused,
    less,
    lessened,
    load,
    plus,
    product,
    store,
    summed,
    total,
)

CHUNK = 32

contracted = partial(compiled, contracted=True)


@cache
def backward(keys: int, values: int, fades: int, overwrites: bool) -> Loop:
    """The loop over positions.

    ``v`` is w where something is overwritten. ``turned`` and ``dturned`` are the first memory and
    the slopes of the one left as (B, H, V, K), ``dmemory`` the latter as (B, H, K, V), then the
    slopes of the first. ``ddecay`` (B, T, H, .), if it has elements, becomes that of log a.
    """

    @contracted
    def loop(
        dout: np.ndarray,
        q: np.ndarray,
        k: np.ndarray,
        v: np.ndarray,
        decay: np.ndarray,
        beta: np.ndarray,
        turned: np.ndarray,
        dturned: np.ndarray,
        dmemory: np.ndarray,
        dq: np.ndarray,
        dk: np.ndarray,
        dv: np.ndarray,
        ddecay: np.ndarray,
        dbeta: np.ndarray,
        places: np.ndarray,
    ) -> None:
        batch, steps, heads, wide, long, asks = places[:6]
        qh, q_apart, kh, k_apart, v_apart, key, value = places[6:]
        dq_apart, dk_apart = dq.shape[2] * wide, dk.shape[2] * wide
        shared_q, shared_k = dq.shape[2] < heads, dk.shape[2] < heads
        an, at = int(decay.shape[0] > 1) * decay.shape[1], int(decay.shape[1] > 1)
        each, wanted = steps // asks, ddecay.size > 0
        area, chunks = keys * values, (steps - 1) // CHUNK + 1
        room = int(wanted)
        drift = np.zeros((room * (steps - 1) + 1) * keys, v.dtype)
        marks, ends = np.zeros(room * chunks * area, v.dtype), np.zeros(chunks * keys, v.dtype)
        drates, dstrengths = ddecay.ravel(), dbeta.ravel()
        for n in range(batch):
            for h in range(heads):
                origin = ((n * heads + h) * wide + key) * long + value
                slopes = load(dmemory, origin, long, keys, values)
                asked, turn = (n + 1) * asks, 0
                for t in range(steps - 1, -1, -1):
                    here = (n * steps + t) * heads + h
                    if turn == 0:
                        asked, turn = asked - 1, each
                        query = columns(q, asked * q_apart + h * qh + key, keys, values)
                        answer = load(dout, (asked * heads + h) * long + value, 0, 1, values)
                        slopes = fused(query, answer, slopes)
                    turn -= 1
                    name = columns(k, (n * steps + t) * k_apart + h * kh + key, keys, values)
                    dgiven = summed(product(name, slopes))
                    if overwrites:
                        given = load(v, here * long + value, 0, 1, values)
                        part = total(product(dgiven, given))
                        dstrengths[here] = part if value == 0 else dstrengths[here] + part
                        dgiven = product(columns(beta, here, 1, values), dgiven)
                        slopes = lessened(name, dgiven, slopes)
                    elif key > 0:
                        dgiven = plus(dgiven, load(dv, here * long + value, 0, 1, values))
                    store(dv, here * long + value, 0, dgiven)
                    rate = ((n * an + t * at) * heads + h) * decay.shape[3]
                    if fades == 2:
                        slopes = product(columns(decay, rate + key, keys, values), slopes)
                    if fades == 1:
                        slopes = product(columns(decay, rate, 1, values), slopes)
                store(dmemory, origin, long, slopes)

                origin = ((n * heads + h) * long + value) * wide + key
                slopes = load(dturned, origin, wide, values, keys)
                if wanted:
                    store(marks, (chunks - 1) * area, keys, slopes)
                asked, turn = (n + 1) * asks, 0
                more = value > 0 or (shared_k and h > 0)
                for t in range(steps - 1, -1, -1):
                    here = (n * steps + t) * heads + h
                    if turn == 0:
                        asked, turn = asked - 1, each
                        query = load(q, asked * q_apart + h * qh + key, 0, 1, keys)
                        answer = columns(dout, (asked * heads + h) * long + value, values, keys)
                        slopes = fused(answer, query, slopes)
                    turn -= 1
                    given = columns(v, (n * steps + t) * v_apart + h * long + value, values, keys)
                    dname = summed(product(given, slopes))
                    name = load(k, (n * steps + t) * k_apart + h * kh + key, 0, 1, keys)
                    if overwrites:
                        dname = product(columns(beta, here, 1, keys), dname)
                        dgiven = columns(dv, here * long + value, values, keys)
                        slopes = lessened(dgiven, name, slopes)
                    if wanted:
                        store(drift, t * keys, 0, product(name, dname))
                    place = (n * steps + t) * dk_apart + h * kh + key
                    if more:
                        dname = plus(dname, load(dk, place, 0, 1, keys))
                    store(dk, place, 0, dname)
                    rate = ((n * an + t * at) * heads + h) * decay.shape[3]
                    if fades == 2:
                        slopes = product(load(decay, rate + key, 0, 1, keys), slopes)
                    if fades == 1:
                        slopes = product(columns(decay, rate, 1, keys), slopes)
                    if wanted and t % CHUNK == 0 and t > 0:
                        store(marks, (t // CHUNK - 1) * area, keys, slopes)

                state = load(turned, origin, wide, values, keys)
                asked, left = n * asks, each
                more = value > 0 or (shared_q and h > 0)
                for t in range(steps):
                    here = (n * steps + t) * heads + h
                    rate = ((n * an + t * at) * heads + h) * decay.shape[3]
                    if fades == 2:
                        state = product(load(decay, rate + key, 0, 1, keys), state)
                    if fades == 1:
                        state = product(columns(decay, rate, 1, keys), state)
                    name = load(k, (n * steps + t) * k_apart + h * kh + key, 0, 1, keys)
                    drop = load(drift, t * keys * room, 0, 1, keys)
                    if overwrites:
                        dgiven = columns(dv, here * long + value, values, keys)
                        dname = summed(product(dgiven, state))
                        drop = fused(name, dname, drop)
                        place = (n * steps + t) * dk_apart + h * kh + key
                        store(dk, place, 0, less(load(dk, place, 0, 1, keys), dname))
                        name = product(columns(beta, here, 1, keys), name)
                    given = columns(v, (n * steps + t) * v_apart + h * long + value, values, keys)
                    state = fused(given, name, state)
                    left -= 1
                    if left == 0:
                        answer = columns(dout, (asked * heads + h) * long + value, values, keys)
                        dquery = summed(product(answer, state))
                        query = load(q, asked * q_apart + h * qh + key, 0, 1, keys)
                        drop = lessened(query, dquery, drop)
                        place = asked * dq_apart + h * qh + key
                        if more:
                            dquery = plus(dquery, load(dq, place, 0, 1, keys))
                        store(dq, place, 0, dquery)
                        asked, left = asked + 1, each
                    if wanted:
                        store(drift, t * keys, 0, drop)
                        if t % CHUNK == CHUNK - 1 or t == steps - 1:
                            mark = load(marks, t // CHUNK * area, keys, values, keys)
                            store(ends, t // CHUNK * keys, 0, summed(product(mark, state)))

                if wanted:
                    for chunk in range(chunks - 1, -1, -1):
                        slope = load(ends, chunk * keys, 0, 1, keys)
                        for t in range(min(steps, (chunk + 1) * CHUNK) - 1, chunk * CHUNK - 1, -1):
                            slope = less(slope, load(drift, t * keys, 0, 1, keys))
                            here = (n * steps + t) * heads + h
                            if fades == 2:
                                whole = slope
                                if value > 0:
                                    whole = plus(slope, load(ddecay, here * wide + key, 0, 1, keys))
                                store(ddecay, here * wide + key, 0, whole)
                            else:
                                part = total(slope)
                                first = key == 0 and value == 0
                                drates[here] = part if first else drates[here] + part

    return loop
