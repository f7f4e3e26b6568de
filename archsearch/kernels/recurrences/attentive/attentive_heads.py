"""Attention of one row's position over the last keys and values, forward and back.

Arrays are flat and in single precision. Heads are of a multiple of ``WIDTH`` numbers. Weights and
what is ``added`` to scores are ``room`` numbers for each head, a multiple of ``WIDTH``, of which
those from ``first`` to ``window`` are of a key, the farthest first; ``place`` is where the key
would lie that the weight 0 belongs to, keys ``apart`` from each other and values behind keys.
"""

from __future__ import annotations

import numpy as np
from numpy import float32

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lane_functions import share, totals
from archsearch.kernels.lanes import (
    WIDTH,
    fused,
    lessened,
    load,
    product,
    repeated,
    splat,
    store,
    total,
)

LOG2_E = float32(1.4426950408889634)
ZERO, ONE, LOWEST = float32(0.0), float32(1.0), float32(-1e30)


@inlined
def dots(
    q: np.ndarray, at: int, rows: np.ndarray, place: int, apart: int, size: int,
    first: int, window: int, few: np.ndarray,
) -> None:  # fmt: skip
    """What the products of a vector with each row sum up to, in ``WIDTH`` parts each."""
    for i in range(first, window):
        row = place + i * apart
        sums = product(load(q, at), load(rows, row))
        for j in range(WIDTH, size, WIDTH):
            sums = fused(load(q, at + j), load(rows, row + j), sums)
        store(few, i * WIDTH, sums)


@inlined
def attend(
    q: np.ndarray, at: int, kv: np.ndarray, place: int, apart: int, added: np.ndarray,
    scale: float32, heads: int, size: int, room: int, first: int, window: int,
    weights: np.ndarray, to: int, heard: np.ndarray, few: np.ndarray,
) -> None:  # fmt: skip
    """Write the weights from ``to`` on, and to ``heard`` at ``at`` what they make of the values."""
    for head in range(heads):
        own, base, begin = place + head * size, to + head * room, at + head * size
        dots(q, begin, kv, own, apart, size, first, window, few)
        for m in range(0, room, WIDTH):
            scores = fused(totals(few, m * WIDTH), splat(scale), load(added, head * room + m))
            store(weights, base + m, scores)
        for i in range(first):
            weights[base + i] = LOWEST
        for i in range(window, room):
            weights[base + i] = LOWEST
        highest = weights[base + first]
        for i in range(first + 1, window):
            highest = weights[base + i] if weights[base + i] > highest else highest
        sums = splat(ZERO)
        for m in range(0, room, WIDTH):
            below = lessened(splat(ONE), splat(highest), load(weights, base + m))
            power = share(product(splat(LOG2_E), below))
            store(weights, base + m, power)
            sums = fused(splat(ONE), power, sums)
        part = splat(ONE / total(sums))
        for m in range(0, room, WIDTH):
            store(weights, base + m, product(load(weights, base + m), part))
        values = own + heads * size
        for j in range(0, size, WIDTH):
            sums = splat(ZERO)
            for i in range(first, window):
                value = load(kv, values + i * apart + j)
                sums = fused(repeated(weights, base + i), value, sums)
            store(heard, begin + j, sums)


@inlined
def attend_back(
    dheard: np.ndarray, at: int, q: np.ndarray, asks: int, kv: np.ndarray, place: int, apart: int,
    scale: float32, heads: int, size: int, room: int, first: int, window: int,
    weights: np.ndarray, to: int, dkv: np.ndarray, dadded: np.ndarray, sum_at: int,
    dq: np.ndarray, back: int, slopes: np.ndarray, few: np.ndarray,
) -> None:  # fmt: skip
    """Add to slopes of keys, values and what was added, and write those of the query."""
    for head in range(heads):
        own, base = place + head * size, to + head * room
        values, begin = own + heads * size, at + head * size
        dots(dheard, begin, kv, values, apart, size, first, window, few)
        for m in range(0, room, WIDTH):
            store(slopes, m, totals(few, m * WIDTH))
        mean = ZERO
        for i in range(first, window):
            mean += weights[base + i] * slopes[i]
        for i in range(first, window):
            slope = weights[base + i] * (slopes[i] - mean)
            dadded[sum_at + head * room + i] += slope
            slopes[i] = slope * scale
        for j in range(0, size, WIDTH):
            given, query = load(dheard, begin + j), load(q, asks + head * size + j)
            sums = splat(ZERO)
            for i in range(first, window):
                key, value = own + i * apart + j, values + i * apart + j
                slope = repeated(slopes, i)
                sums = fused(slope, load(kv, key), sums)
                store(dkv, key, fused(slope, query, load(dkv, key)))
                store(dkv, value, fused(repeated(weights, base + i), given, load(dkv, value)))
            store(dq, back + head * size + j, sums)
