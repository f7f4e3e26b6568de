"""The way back through the gate and the selective scan, eight positions at a time.

Arrays as in :mod:`archsearch.kernels.scans.selective.selective_chunks`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy import float32

from archsearch.kernels.lane_functions import LOG2_E, share, sigmoid, softplus, totals
from archsearch.kernels.lanes import WIDTH, fused, load, prefetch, product, repeated, splat, store
from archsearch.kernels.scans.selective.selective_chunks import (
    CHUNK,
    contracted,
    inlined,
    raised_at,
)


@inlined
def _summed(rows: Any, size: Any, count: Any, at: Any, apart: Any, sums: Any, target: Any) -> None:
    """The sums of the lanes of rows (size, CHUNK), put side by side for each of the positions."""
    for row in range(0, CHUNK * size, WIDTH):
        store(sums, row, totals(rows, row * WIDTH))
    found = target.ravel()
    for s in range(count):
        for m in range(size):
            found[at + s * apart + m] = sums[m * CHUNK + s]


@contracted
def backward(
    gated: np.ndarray,
    u: np.ndarray,
    parts: np.ndarray,
    both: np.ndarray,
    joined: np.ndarray,
    up: np.ndarray,
    bias: np.ndarray,
    rate: np.ndarray,
    skip: np.ndarray,
    kept: np.ndarray,
    dmemory: np.ndarray,
    dboth: np.ndarray,
    du: np.ndarray,
    dparts: np.ndarray,
    dup: np.ndarray,
    dbias: np.ndarray,
    drate: np.ndarray,
    dskip: np.ndarray,
) -> None:
    """``gated`` is the slope of what the gate let through, then that itself; ``dmemory`` that of
    the memory left, then of the first. Of ``dboth`` the gate's half is written, and to the slopes
    of ``up``, ``bias``, ``rate`` and ``skip`` is added."""
    batch, steps, width = u.shape
    ranks, size, apart = up.shape[0], rate.shape[1], parts.shape[2]
    zero, one, minus = splat(float32(0)), splat(float32(1)), splat(float32(-1))
    longer, shorter = splat(float32(-LOG2_E)), splat(float32(-1 / LOG2_E))
    turns, added = np.zeros(CHUNK * WIDTH, float32), np.zeros(CHUNK * WIDTH, float32)
    pasts, factors = np.zeros(CHUNK * WIDTH, float32), np.zeros(CHUNK * WIDTH, float32)
    dadded, dsteps = np.zeros(CHUNK * WIDTH, float32), np.zeros(CHUNK * WIDTH, float32)
    slopes, shares = np.zeros(CHUNK * WIDTH, float32), np.zeros(CHUNK * WIDTH, float32)
    # sums over channels: of the step sizes' parts, the inputs and the read-outs of each position
    lows = np.zeros((CHUNK * ranks + WIDTH) * WIDTH, float32)
    wrote = np.zeros((CHUNK * size + WIDTH) * WIDTH, float32)
    found = np.zeros((CHUNK * size + WIDTH) * WIDTH, float32)
    sums = np.zeros(CHUNK * max(ranks, size) + WIDTH, float32)
    ups, rates = np.zeros_like(dup), np.zeros_like(drate)
    biases, skips = np.zeros_like(dbias), np.zeros_like(dskip)
    p = np.zeros(CHUNK, np.int64)
    for n in range(batch):
        ups[:] = 0
        biases[:] = 0
        skips[:] = 0
        rates[:] = 0
        for chunk in range((steps - 1) // CHUNK, -1, -1):
            first, count = n * steps + chunk * CHUNK, min(CHUNK, steps - chunk * CHUNK)
            origin = (n * kept.shape[1] + chunk) * size * width
            for s in range(CHUNK):
                p[s] = (first + min(s, count - 1)) * apart + ranks
            w0, w1, w2, w3, w4, w5, w6, w7 = p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]
            lows[:] = 0
            wrote[:] = 0
            found[:] = 0
            for c in range(0, width, WIDTH):
                dstraight = load(skips, c)
                for s in range(count):
                    row = first + s
                    here = row * width + c
                    gate, given = here + (row + 1) * width, load(u, here)
                    opened, slope, y = load(both, gate), load(gated, here), load(joined, here)
                    half = sigmoid(opened)
                    open_ = product(opened, half)
                    # the slope of x s(x) is s + x s (1 - s)
                    turn = fused(open_, fused(half, minus, one), half)
                    store(dboth, gate, product(product(slope, y), turn))
                    store(gated, here, product(y, open_))
                    slope = product(slope, open_)
                    store(slopes, s * WIDTH, slope)
                    dstraight = fused(slope, given, dstraight)
                    raised = raised_at(parts, row * apart, up, bias, c)
                    step = softplus(raised)
                    store(shares, s * WIDTH, sigmoid(raised))
                    store(turns, s * WIDTH, product(step, longer))
                    store(added, s * WIDTH, product(step, given))
                    prefetch(u, here - CHUNK * width)
                    prefetch(joined, here - CHUNK * width)
                    prefetch(gated, here - CHUNK * width)
                    prefetch(du, here - CHUNK * width)
                    prefetch(both, gate - 2 * CHUNK * width)
                    prefetch(dboth, gate - 2 * CHUNK * width)
                store(skips, c, dstraight)
                for s in range(count, CHUNK):
                    # what is beyond the end changes nothing
                    store(turns, s * WIDTH, zero)
                    store(added, s * WIDTH, zero)
                    store(slopes, s * WIDTH, zero)
                z0, z1, z2, z3, z4, z5, z6, z7 = zero, zero, zero, zero, zero, zero, zero, zero
                x0, x1, x2, x3, x4, x5, x6, x7 = zero, zero, zero, zero, zero, zero, zero, zero
                for m in range(size):
                    at, r, row = c * size + m * WIDTH, m + size, m * CHUNK * WIDTH
                    pace, h = load(rate, at), load(kept, origin + at)
                    prefetch(kept, origin - size * width + at)
                    store(pasts, 0, h)
                    f = share(product(load(turns, 0), pace))
                    store(factors, 0, f)
                    h = fused(load(added, 0), repeated(parts, w0 + m), product(f, h))
                    store(pasts, 16, h)
                    f = share(product(load(turns, 16), pace))
                    store(factors, 16, f)
                    h = fused(load(added, 16), repeated(parts, w1 + m), product(f, h))
                    store(pasts, 32, h)
                    f = share(product(load(turns, 32), pace))
                    store(factors, 32, f)
                    h = fused(load(added, 32), repeated(parts, w2 + m), product(f, h))
                    store(pasts, 48, h)
                    f = share(product(load(turns, 48), pace))
                    store(factors, 48, f)
                    h = fused(load(added, 48), repeated(parts, w3 + m), product(f, h))
                    store(pasts, 64, h)
                    f = share(product(load(turns, 64), pace))
                    store(factors, 64, f)
                    h = fused(load(added, 64), repeated(parts, w4 + m), product(f, h))
                    store(pasts, 80, h)
                    f = share(product(load(turns, 80), pace))
                    store(factors, 80, f)
                    h = fused(load(added, 80), repeated(parts, w5 + m), product(f, h))
                    store(pasts, 96, h)
                    f = share(product(load(turns, 96), pace))
                    store(factors, 96, f)
                    h = fused(load(added, 96), repeated(parts, w6 + m), product(f, h))
                    store(pasts, 112, h)
                    f = share(product(load(turns, 112), pace))
                    store(factors, 112, f)
                    h = fused(load(added, 112), repeated(parts, w7 + m), product(f, h))
                    g, drift = load(dmemory, n * size * width + at), load(rates, at)
                    g = fused(load(slopes, 112), repeated(parts, w7 + r), g)
                    store(found, row + 112, fused(load(slopes, 112), h, load(found, row + 112)))
                    store(wrote, row + 112, fused(g, load(added, 112), load(wrote, row + 112)))
                    z7 = fused(g, repeated(parts, w7 + m), z7)
                    g = product(g, load(factors, 112))
                    h = load(pasts, 112)
                    back = product(g, h)
                    x7 = fused(back, pace, x7)
                    drift = fused(back, load(turns, 112), drift)
                    g = fused(load(slopes, 96), repeated(parts, w6 + r), g)
                    store(found, row + 96, fused(load(slopes, 96), h, load(found, row + 96)))
                    store(wrote, row + 96, fused(g, load(added, 96), load(wrote, row + 96)))
                    z6 = fused(g, repeated(parts, w6 + m), z6)
                    g = product(g, load(factors, 96))
                    h = load(pasts, 96)
                    back = product(g, h)
                    x6 = fused(back, pace, x6)
                    drift = fused(back, load(turns, 96), drift)
                    g = fused(load(slopes, 80), repeated(parts, w5 + r), g)
                    store(found, row + 80, fused(load(slopes, 80), h, load(found, row + 80)))
                    store(wrote, row + 80, fused(g, load(added, 80), load(wrote, row + 80)))
                    z5 = fused(g, repeated(parts, w5 + m), z5)
                    g = product(g, load(factors, 80))
                    h = load(pasts, 80)
                    back = product(g, h)
                    x5 = fused(back, pace, x5)
                    drift = fused(back, load(turns, 80), drift)
                    g = fused(load(slopes, 64), repeated(parts, w4 + r), g)
                    store(found, row + 64, fused(load(slopes, 64), h, load(found, row + 64)))
                    store(wrote, row + 64, fused(g, load(added, 64), load(wrote, row + 64)))
                    z4 = fused(g, repeated(parts, w4 + m), z4)
                    g = product(g, load(factors, 64))
                    h = load(pasts, 64)
                    back = product(g, h)
                    x4 = fused(back, pace, x4)
                    drift = fused(back, load(turns, 64), drift)
                    g = fused(load(slopes, 48), repeated(parts, w3 + r), g)
                    store(found, row + 48, fused(load(slopes, 48), h, load(found, row + 48)))
                    store(wrote, row + 48, fused(g, load(added, 48), load(wrote, row + 48)))
                    z3 = fused(g, repeated(parts, w3 + m), z3)
                    g = product(g, load(factors, 48))
                    h = load(pasts, 48)
                    back = product(g, h)
                    x3 = fused(back, pace, x3)
                    drift = fused(back, load(turns, 48), drift)
                    g = fused(load(slopes, 32), repeated(parts, w2 + r), g)
                    store(found, row + 32, fused(load(slopes, 32), h, load(found, row + 32)))
                    store(wrote, row + 32, fused(g, load(added, 32), load(wrote, row + 32)))
                    z2 = fused(g, repeated(parts, w2 + m), z2)
                    g = product(g, load(factors, 32))
                    h = load(pasts, 32)
                    back = product(g, h)
                    x2 = fused(back, pace, x2)
                    drift = fused(back, load(turns, 32), drift)
                    g = fused(load(slopes, 16), repeated(parts, w1 + r), g)
                    store(found, row + 16, fused(load(slopes, 16), h, load(found, row + 16)))
                    store(wrote, row + 16, fused(g, load(added, 16), load(wrote, row + 16)))
                    z1 = fused(g, repeated(parts, w1 + m), z1)
                    g = product(g, load(factors, 16))
                    h = load(pasts, 16)
                    back = product(g, h)
                    x1 = fused(back, pace, x1)
                    drift = fused(back, load(turns, 16), drift)
                    g = fused(load(slopes, 0), repeated(parts, w0 + r), g)
                    store(found, row + 0, fused(load(slopes, 0), h, load(found, row + 0)))
                    store(wrote, row + 0, fused(g, load(added, 0), load(wrote, row + 0)))
                    z0 = fused(g, repeated(parts, w0 + m), z0)
                    g = product(g, load(factors, 0))
                    h = load(pasts, 0)
                    back = product(g, h)
                    x0 = fused(back, pace, x0)
                    drift = fused(back, load(turns, 0), drift)
                    store(dmemory, n * size * width + at, g)
                    store(rates, at, drift)
                store(dadded, 0, z0)
                store(dsteps, 0, x0)
                store(dadded, 16, z1)
                store(dsteps, 16, x1)
                store(dadded, 32, z2)
                store(dsteps, 32, x2)
                store(dadded, 48, z3)
                store(dsteps, 48, x3)
                store(dadded, 64, z4)
                store(dsteps, 64, x4)
                store(dadded, 80, z5)
                store(dsteps, 80, x5)
                store(dadded, 96, z6)
                store(dsteps, 96, x6)
                store(dadded, 112, z7)
                store(dsteps, 112, x7)
                dbase, straight = load(biases, c), load(skip, c)
                for s in range(count):
                    here, back = (first + s) * width + c, load(dadded, s * WIDTH)
                    step = product(load(turns, s * WIDTH), shorter)
                    direct = product(load(slopes, s * WIDTH), straight)
                    store(du, here, fused(back, step, direct))
                    back = fused(back, load(u, here), product(load(dsteps, s * WIDTH), minus))
                    back = product(back, load(shares, s * WIDTH))
                    dbase = fused(back, one, dbase)
                    store(dsteps, s * WIDTH, back)
                store(biases, c, dbase)
                for r in range(ranks):
                    at, column = r * width + c, load(up, r * width + c)
                    sum_ = load(ups, at)
                    for s in range(count):
                        low, back = (r * CHUNK + s) * WIDTH, load(dsteps, s * WIDTH)
                        sum_ = fused(back, repeated(parts, (first + s) * apart + r), sum_)
                        store(lows, low, fused(back, column, load(lows, low)))
                    store(ups, at, sum_)
            _summed(lows, ranks, count, first * apart, apart, sums, dparts)
            _summed(wrote, size, count, first * apart + ranks, apart, sums, dparts)
            _summed(found, size, count, first * apart + ranks + size, apart, sums, dparts)
        dup += ups
        dbias += biases
        dskip += skips
        # turns are -delta log2(e)
        drate += rates * float32(1 / LOG2_E)
