"""The loop of the way back through a memory of features; :mod:`.taylor_loops` has its arrays.

The memory and its slopes are held a row for each value, to find those of features, and the slopes
a row for each feature too, to find those of values.
"""

from __future__ import annotations

from functools import cache, partial

import numpy as np

from archsearch.kernels.compiled import Loop, compiled
from archsearch.kernels.memories.taylor.taylor_features import contract, expand
from archsearch.kernels.memories.taylor.taylor_loops import CHUNK, ROWS, VALUES, WIDTH
from archsearch.kernels.tiles import columns, fused, load, plus, product, store, summed, total

contracted = partial(compiled, contracted=True)


@cache
def backward(size: int, values: int) -> Loop:
    """The loop for queries and keys of ``size`` numbers, with ``values`` of a tile.

    ``turned`` and ``dturned`` (B, H, V, F) are the first memory and the slopes of the one left,
    ``dheld`` (B, H, F, V) the latter, then those of the first; ``sums`` is the first sum of keys,
    ``dsums`` the slopes of the one left, then of the first. ``places`` ends with how far the
    positions of ``dq``, ``dk``, ``dv``, ``dk2`` and ``dv2`` lie apart.
    """

    rows = min(values, VALUES)

    @contracted
    def loop(
        dout: np.ndarray,
        q: np.ndarray,
        k: np.ndarray,
        v: np.ndarray,
        k2: np.ndarray,
        v2: np.ndarray,
        twice: np.ndarray,
        scale: np.ndarray,
        shares: np.ndarray,
        out: np.ndarray,
        divisor: np.ndarray,
        turned: np.ndarray,
        sums: np.ndarray,
        dturned: np.ndarray,
        dheld: np.ndarray,
        dsums: np.ndarray,
        dq: np.ndarray,
        dk: np.ndarray,
        dv: np.ndarray,
        dk2: np.ndarray,
        dv2: np.ndarray,
        places: np.ndarray,
    ) -> None:
        batch, steps, heads, long, wide, reach = places[:6]
        qh, q_apart, kh, k_apart, vh, v_apart, k2h, k2_apart, v2h, v2_apart = places[6:16]
        dq_apart, dk_apart, dv_apart, dk2_apart, dv2_apart = places[16:]
        least, divisors, nothing = scale[2], divisor.ravel(), scale[1] - scale[1]
        asking, naming = np.zeros(CHUNK * wide, v.dtype), np.zeros(CHUNK * wide, v.dtype)
        again, dnames = np.zeros(CHUNK * wide, v.dtype), np.zeros(CHUNK * wide, v.dtype)
        dagain, parts = np.zeros(CHUNK * wide, v.dtype), np.zeros(size, v.dtype)
        dgiven = np.zeros(CHUNK * values, v.dtype)
        slopes, falls = np.zeros(steps * long, v.dtype), np.zeros(steps, v.dtype)
        for n in range(batch):
            for h in range(heads):
                state, whole = (n * heads + h) * wide * long, (n * heads + h) * wide
                for t in range(steps):
                    place, along = (n * steps + t) * heads + h, nothing
                    by = scale[1] / (least if divisors[place] < least else divisors[place])
                    for j in range(0, long, values):
                        slope = load(dout, place * long + j, 0, 1, values)
                        along += total(product(slope, load(out, place * long + j, 0, 1, values)))
                        falls[t] = by
                        slope = product(slope, columns(falls, t, 1, values))
                        store(slopes, t * long + j, 0, slope)
                    falls[t] = nothing if divisors[place] < least else -along * by

                for begin in range(0, steps, CHUNK):
                    count = min(CHUNK, steps - begin)
                    more = min(max(twice[n] - begin, 0), count)
                    early = n * reach + begin
                    for s in range(count):
                        t = n * steps + begin + s
                        expand(k, t * k_apart + h * kh, size, scale, shares, naming, s * wide)
                    for s in range(more):
                        place = (early + s) * k2_apart + h * k2h
                        expand(k2, place, size, scale, shares, again, s * wide)
                    for f in range(0, wide - WIDTH + 1, WIDTH):
                        sum_ = load(sums, whole + f, 0, 1, WIDTH)
                        for j in range(0, long, rows):
                            place = state + j * wide + f
                            tile = load(turned, place, wide, rows, WIDTH)
                            for s in range(count):
                                t = n * steps + begin + s
                                name = load(naming, s * wide + f, 0, 1, WIDTH)
                                given = columns(v, t * v_apart + h * vh + j, rows, WIDTH)
                                tile = fused(given, name, tile)
                                if j == 0:
                                    sum_ = plus(sum_, name)
                                if s < more:
                                    name = load(again, s * wide + f, 0, 1, WIDTH)
                                    at = (early + s) * v2_apart + h * v2h + j
                                    tile = fused(columns(v2, at, rows, WIDTH), name, tile)
                                    if j == 0:
                                        sum_ = plus(sum_, name)
                                slope = columns(slopes, (begin + s) * long + j, rows, WIDTH)
                                found = summed(product(slope, tile))
                                if j == 0:
                                    found = fused(columns(falls, begin + s, 1, WIDTH), sum_, found)
                                else:
                                    found = plus(found, load(dnames, s * wide + f, 0, 1, WIDTH))
                                store(dnames, s * wide + f, 0, found)
                            store(turned, place, wide, tile)
                        store(sums, whole + f, 0, sum_)
                    for s in range(count):
                        t = n * steps + begin + s
                        asked, to = t * q_apart + h * qh, t * dq_apart + h * size
                        contract(q, asked, size, scale, shares, dnames, s * wide, parts, dq, to)

                for chunk in range((steps - 1) // CHUNK, -1, -1):
                    begin = chunk * CHUNK
                    count = min(CHUNK, steps - begin)
                    more = min(max(twice[n] - begin, 0), count)
                    early = n * reach + begin
                    for s in range(count):
                        t = n * steps + begin + s
                        expand(q, t * q_apart + h * qh, size, scale, shares, asking, s * wide)
                        expand(k, t * k_apart + h * kh, size, scale, shares, naming, s * wide)
                    for s in range(more):
                        place = (early + s) * k2_apart + h * k2h
                        expand(k2, place, size, scale, shares, again, s * wide)
                    for f in range(0, wide - WIDTH + 1, WIDTH):
                        sum_ = load(dsums, whole + f, 0, 1, WIDTH)
                        for j in range(0, long, rows):
                            place = state + j * wide + f
                            tile = load(dturned, place, wide, rows, WIDTH)
                            for s in range(count - 1, -1, -1):
                                t = n * steps + begin + s
                                query = load(asking, s * wide + f, 0, 1, WIDTH)
                                slope = columns(slopes, (begin + s) * long + j, rows, WIDTH)
                                tile = fused(slope, query, tile)
                                given = columns(v, t * v_apart + h * vh + j, rows, WIDTH)
                                found = summed(product(given, tile))
                                if j == 0:
                                    sum_ = fused(columns(falls, begin + s, 1, WIDTH), query, sum_)
                                    found = plus(found, sum_)
                                else:
                                    found = plus(found, load(dnames, s * wide + f, 0, 1, WIDTH))
                                store(dnames, s * wide + f, 0, found)
                                if s < more:
                                    at = (early + s) * v2_apart + h * v2h + j
                                    given = columns(v2, at, rows, WIDTH)
                                    found = summed(product(given, tile))
                                    if j == 0:
                                        found = plus(found, sum_)
                                    else:
                                        found = plus(found, load(dagain, s * wide + f, 0, 1, WIDTH))
                                    store(dagain, s * wide + f, 0, found)
                            store(dturned, place, wide, tile)
                        store(dsums, whole + f, 0, sum_)
                    for s in range(count):
                        t = n * steps + begin + s
                        named, to = t * k_apart + h * kh, t * dk_apart + h * size
                        contract(k, named, size, scale, shares, dnames, s * wide, parts, dk, to)
                    for s in range(more):
                        t = early + s
                        named, to = t * k2_apart + h * k2h, t * dk2_apart + h * size
                        contract(k2, named, size, scale, shares, dagain, s * wide, parts, dk2, to)
                    for j in range(0, long, values):
                        for f in range(0, wide - ROWS + 1, ROWS):
                            place = state + f * long + j
                            tile = load(dheld, place, long, ROWS, values)
                            for s in range(count - 1, -1, -1):
                                t = n * steps + begin + s
                                slope = load(slopes, (begin + s) * long + j, 0, 1, values)
                                query = columns(asking, s * wide + f, ROWS, values)
                                tile = fused(query, slope, tile)
                                name = columns(naming, s * wide + f, ROWS, values)
                                found = summed(product(name, tile))
                                if f > 0:
                                    found = plus(found, load(dgiven, s * values, 0, 1, values))
                                store(dgiven, s * values, 0, found)
                                if s < more:
                                    name = columns(again, s * wide + f, ROWS, values)
                                    found = summed(product(name, tile))
                                    to = (early + s) * dv2_apart + h * long + j
                                    if f > 0:
                                        found = plus(found, load(dv2, to, 0, 1, values))
                                    store(dv2, to, 0, found)
                            store(dheld, place, long, tile)
                        for s in range(count):
                            to = (n * steps + begin + s) * dv_apart + h * long + j
                            store(dv, to, 0, load(dgiven, s * values, 0, 1, values))

    return loop
