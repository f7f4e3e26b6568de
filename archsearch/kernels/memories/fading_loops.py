"""The loop of the way back through a matrix memory that fades, one position after the other.

S_t = diag(a_t) S_{t-1} + k_t v_t', o_t = S_t' q_t. The memories of a chunk are computed again from
the one before it. They are held with a row for each value, their slopes both ways round, so that
all sums but one are sums of rows. Arrays as in :mod:`archsearch.kernels.memories.memory_loops`.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import (
    WIDTH,
    fused,
    load,
    product,
    repeated,
    splat,
    store,
    total,
    transpose,
)
from archsearch.kernels.memories.memory_loops import CHUNK, fetch

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
    places: np.ndarray,
) -> None:
    """``dmemory`` is that of the memory left, then of the first; ``dq`` and ``dk`` are zero at
    first where heads share them. ``ddecay`` is (B, T, H, .), or left out."""
    batch, steps, heads, wide_v, _, qh, q_apart, kh, k_apart, v_apart = places
    keys, values = dmemory.shape[2:]
    wide = dq.shape[3]
    own, wanted = decay.shape[3] > 1, ddecay.size > 0
    channel = int(own)
    dq_apart, dk_apart, dv_apart = dq.shape[2] * wide, dk.shape[2] * wide, heads * wide_v
    an, at = int(decay.shape[0] > 1) * decay.shape[1], int(decay.shape[1] > 1)
    shared_q, shared_k = dq.shape[2] < heads, dk.shape[2] < heads
    drates = ddecay.ravel()
    area = wide * wide_v
    states = np.zeros((CHUNK + 1) * area, v.dtype)  # (V, K) each
    dstates = np.zeros(heads * area, v.dtype)  # (V, K)
    dturned = np.zeros(heads * area, v.dtype)  # (K, V)
    zero, one = splat(v.dtype.type(0)), splat(v.dtype.type(1))
    for n in range(batch):
        for h in range(heads):
            for i in range(keys):
                for j in range(values):
                    dstates[h * area + j * wide + i] = dmemory[n, h, i, j]
                    dturned[h * area + i * wide_v + j] = dmemory[n, h, i, j]
        for chunk in range((steps - 1) // CHUNK, -1, -1):
            count = min(CHUNK, steps - chunk * CHUNK)
            for h in range(heads):
                origin = ((n * heads + h) * kept.shape[2] + chunk) * area
                for i in range(0, wide, WIDTH):
                    for j in range(0, wide_v, WIDTH):
                        transpose(kept, origin + i * wide_v + j, wide_v, states, j * wide + i, wide)
                fetch(kept, origin - area, area)
                for s in range(count):
                    t = n * steps + chunk * CHUNK + s
                    here, dhere = t * v_apart + h * wide_v, t * dv_apart + h * wide_v
                    query, dquery = t * q_apart + h * qh, t * dq_apart + h * qh
                    name, dname = t * k_apart + h * kh, t * dk_apart + h * kh
                    rate = ((n * an + (chunk * CHUNK + s) * at) * heads + h) * decay.shape[3]
                    for c in range(0, wide, WIDTH):
                        key = load(k, name + c)
                        keep = load(decay, rate + c) if own else repeated(decay, rate)
                        even, odd = load(dq, dquery + c) if shared_q else zero, zero
                        row = s * area + c
                        for j in range(0, values, 2):
                            state = product(keep, load(states, row))
                            other = product(keep, load(states, row + wide))
                            state = fused(key, repeated(v, here + j), state)
                            other = fused(key, repeated(v, here + j + 1), other)
                            store(states, row + area, state)
                            store(states, row + wide + area, other)
                            even = fused(state, repeated(dout, dhere + j), even)
                            odd = fused(other, repeated(dout, dhere + j + 1), odd)
                            row += 2 * wide
                        store(dq, dquery + c, fused(one, even, odd))
                for s in range(count - 1, -1, -1):
                    t = n * steps + chunk * CHUNK + s
                    here, dhere = t * v_apart + h * wide_v, t * dv_apart + h * wide_v
                    query, dquery = t * q_apart + h * qh, t * dq_apart + h * qh
                    name, dname = t * k_apart + h * kh, t * dk_apart + h * kh
                    rate = ((n * an + (chunk * CHUNK + s) * at) * heads + h) * decay.shape[3]
                    fetch(q, query - CHUNK * q_apart, wide)
                    fetch(dq, dquery - CHUNK * dq_apart, wide)
                    fetch(k, name - CHUNK * k_apart, wide)
                    fetch(dk, dname - CHUNK * dk_apart, wide)
                    fetch(v, here - CHUNK * v_apart, wide_v)
                    fetch(dv, dhere - CHUNK * dv_apart, wide_v)
                    fetch(dout, dhere - CHUNK * dv_apart, wide_v)
                    if own:
                        fetch(decay, rate - CHUNK * heads * wide, wide)
                        fetch(ddecay, (t - CHUNK) * heads * wide, wide)
                    sums = zero
                    for c in range(0, wide, WIDTH):
                        reader = load(q, query + c)
                        keep = load(decay, rate + c) if own else repeated(decay, rate)
                        even, odd = load(dk, dname + c) if shared_k else zero, zero
                        dkeep, dkept = zero, zero
                        row, before = h * area + c, s * area + c
                        for j in range(0, values, 2):
                            slope = fused(reader, repeated(dout, dhere + j), load(dstates, row))
                            other = fused(
                                reader, repeated(dout, dhere + j + 1), load(dstates, row + wide)
                            )
                            even = fused(slope, repeated(v, here + j), even)
                            odd = fused(other, repeated(v, here + j + 1), odd)
                            dkeep = fused(slope, load(states, before), dkeep)
                            dkept = fused(other, load(states, before + wide), dkept)
                            store(dstates, row, product(slope, keep))
                            store(dstates, row + wide, product(other, keep))
                            row += 2 * wide
                            before += 2 * wide
                        store(dk, dname + c, fused(one, even, odd))
                        dkeep = fused(one, dkeep, dkept)
                        if own and wanted:
                            store(ddecay, (t * heads + h) * wide + c, dkeep)
                        sums = fused(one, dkeep, sums)
                    if wanted and not own:
                        drates[t * heads + h] = total(sums)
                    for c in range(0, wide_v, WIDTH):
                        slopes, even, odd = load(dout, dhere + c), zero, zero
                        row = h * area + c
                        for i in range(0, keys, 2):
                            slope = fused(repeated(q, query + i), slopes, load(dturned, row))
                            even = fused(repeated(k, name + i), slope, even)
                            keep = repeated(decay, rate + i * channel)
                            store(dturned, row, product(slope, keep))
                            row += wide_v
                            slope = fused(repeated(q, query + i + 1), slopes, load(dturned, row))
                            odd = fused(repeated(k, name + i + 1), slope, odd)
                            keep = repeated(decay, rate + (i + 1) * channel)
                            store(dturned, row, product(slope, keep))
                            row += wide_v
                        store(dv, dhere + c, fused(one, even, odd))
        for h in range(heads):
            for i in range(keys):
                for j in range(values):
                    dmemory[n, h, i, j] = dturned[h * area + i * wide_v + j]
