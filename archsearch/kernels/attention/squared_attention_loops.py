"""The loops of squared attention in single precision.

Queries go by tiles of ``WIDTH``, one a lane, and meet blocks of keys, one a row. A weight asks
nothing of the other keys, so that no more than a block of them exists at a time. Of the square on
the diagonal only what queries see is summed.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy import float32

from archsearch.kernels.attention.causal_tiles import across_lanes, load_part, store_part
from archsearch.kernels.attention.squared_tiles import (
    BLOCK,
    activate,
    add_rows,
    asked,
    gathered,
    moved,
    passed,
    scored,
    sloped,
    spread,
    squared,
    steepness,
)
from archsearch.kernels.compiled import compiled
from archsearch.kernels.lane_functions import sigmoid
from archsearch.kernels.lanes import WIDTH, fused, load, product, splat, store
from archsearch.kernels.memories.lanes.lane_blocks import accumulate_lower, accumulate_upper

contracted = partial(compiled, contracted=True)


@contracted
def forward(
    projected: np.ndarray, factors: np.ndarray, added: np.ndarray, seen: np.ndarray,
    gated: np.ndarray, keys: np.ndarray, values: np.ndarray,
) -> None:  # fmt: skip
    """Fill ``seen`` and ``gated`` (B, T, V), ``keys`` (B, T, Z) and ``values`` (B, T, V).

    ``factors`` (2, 2, padded Z) are the scales, then the shifts of q and k; ``added`` has distance
    zero at ``WIDTH``, and as many as there are positions in whole tiles.
    """
    batch, steps, across = projected.shape
    size, broad = keys.shape[2], values.shape[2]
    padded, wide, apart = steps + -steps % WIDTH, size + -size % WIDTH, broad + -broad % WIDTH
    z, k = np.zeros(padded * wide, float32), np.zeros(padded * wide, float32)
    v, found = np.zeros(padded * apart, float32), np.zeros(WIDTH * apart, float32)
    rows, queries = np.zeros(WIDTH * wide, float32), np.zeros(wide * WIDTH, float32)
    panel = np.zeros(BLOCK * WIDTH, float32)
    source, parts, table = projected.ravel(), factors.ravel(), added.ravel()
    plain, answers, kept, held = seen.ravel(), gated.ravel(), keys.ravel(), values.ravel()
    for row in range(batch):
        begin = row * steps * across
        spread(source, begin + broad, across, steps, broad, v, apart)
        spread(source, begin + 2 * broad, across, steps, size, z, wide)
        activate(v, steps * apart)
        activate(z, steps * wide)
        moved(z, 0, parts, 1, steps, wide, k, 0)
        gathered(k, wide, steps, size, kept, row * steps * size)
        gathered(v, apart, steps, broad, held, row * steps * broad)
        for first in range(0, steps, WIDTH):
            last, shift = min(first + WIDTH, steps), WIDTH + first
            asked(z, first, last, parts, wide, rows, queries)
            found[:] = 0
            for key in range(0, first, BLOCK):
                count = min(BLOCK, first - key)
                scored(k, key, count, queries, wide, table, shift, panel)
                squared(panel, count)
                add_rows(
                    panel, 0, 1, WIDTH, v, key * apart, apart, found, 0, apart,
                    WIDTH, count, apart,
                )  # fmt: skip
            scored(k, first, WIDTH, queries, wide, table, shift, panel)
            squared(panel, WIDTH)
            for c in range(0, apart, WIDTH):
                accumulate_lower(panel, 0, 1, WIDTH, v, first * apart + c, apart, found, c, apart)
            for t in range(first, last):
                for c in range(0, broad, WIDTH):
                    count, to = min(broad - c, WIDTH), (row * steps + t) * broad + c
                    answer = load(found, (t - first) * apart + c)
                    gate = load_part(source, begin + t * across + c, count)
                    store_part(plain, to, count, answer)
                    store_part(answers, to, count, product(answer, product(gate, sigmoid(gate))))


@contracted
def backward(
    projected: np.ndarray, factors: np.ndarray, added: np.ndarray, seen: np.ndarray,
    keys: np.ndarray, values: np.ndarray, dgated: np.ndarray, dkeys: np.ndarray,
    dvalues: np.ndarray, dprojected: np.ndarray, dfactors: np.ndarray, dadded: np.ndarray,
) -> None:  # fmt: skip
    """Fill ``dprojected`` and ``dfactors`` (B, 2, 2, padded Z), add to ``dadded``.

    ``dkeys`` and ``dvalues`` are empty where nobody used the keys and values.
    """
    batch, steps, across = projected.shape
    size, broad = keys.shape[2], values.shape[2]
    padded, wide, apart = steps + -steps % WIDTH, size + -size % WIDTH, broad + -broad % WIDTH
    z, k = np.zeros(padded * wide, float32), np.zeros(padded * wide, float32)
    dq, dk = np.zeros(padded * wide, float32), np.zeros(padded * wide, float32)
    v, dv = np.zeros(padded * apart, float32), np.zeros(padded * apart, float32)
    rows, queries = np.zeros(WIDTH * wide, float32), np.zeros(wide * WIDTH, float32)
    drows, dlanes = np.zeros(WIDTH * apart, float32), np.zeros(apart * WIDTH, float32)
    panel, slopes = np.zeros(BLOCK * WIDTH, float32), np.zeros(BLOCK * WIDTH, float32)
    source, parts, table = projected.ravel(), factors.ravel(), added.ravel()
    plain, kept, held = seen.ravel(), keys.ravel(), values.ravel()
    upstream, of_keys, of_values = dgated.ravel(), dkeys.ravel(), dvalues.ravel()
    target, of_parts, of_table = dprojected.ravel(), dfactors.ravel(), dadded.ravel()
    one = splat(float32(1))
    for row in range(batch):
        begin = row * steps * across
        spread(source, begin + 2 * broad, across, steps, size, z, wide)
        activate(z, steps * wide)
        spread(kept, row * steps * size, size, steps, size, k, wide)
        spread(held, row * steps * broad, broad, steps, broad, v, apart)
        dq[:], dk[:], dv[:] = 0, 0, 0
        if of_keys.size > 0:
            spread(of_keys, row * steps * size, size, steps, size, dk, wide)
        if of_values.size > 0:
            spread(of_values, row * steps * broad, broad, steps, broad, dv, apart)
        for first in range(0, steps, WIDTH):
            last, shift = min(first + WIDTH, steps), WIDTH + first
            asked(z, first, last, parts, wide, rows, queries)
            drows[:] = 0
            for t in range(first, last):
                for c in range(0, broad, WIDTH):
                    count, at = min(broad - c, WIDTH), (row * steps + t) * broad + c
                    here = begin + t * across + c
                    gate, slope = load_part(source, here, count), load_part(upstream, at, count)
                    opened = product(gate, sigmoid(gate))
                    store(drows, (t - first) * apart + c, product(slope, opened))
                    slope = product(slope, load_part(plain, at, count))
                    store_part(target, here, count, steepness(gate, slope))
            across_lanes(drows, apart, dlanes)
            for key in range(0, first, BLOCK):
                count, k_at, v_at = min(BLOCK, first - key), key * wide, key * apart
                scored(k, key, count, queries, wide, table, shift, panel)
                sloped(v, key, count, dlanes, apart, of_table, shift, panel, slopes)
                add_rows(
                    panel, 0, WIDTH, 1, drows, 0, apart, dv, v_at, apart, count, WIDTH, apart
                )  # fmt: skip
                add_rows(slopes, 0, WIDTH, 1, rows, 0, wide, dk, k_at, wide, count, WIDTH, wide)
                add_rows(
                    slopes, 0, 1, WIDTH, k, k_at, wide, dq, first * wide, wide, WIDTH, count, wide
                )  # fmt: skip
            k_at, v_at = first * wide, first * apart
            scored(k, first, WIDTH, queries, wide, table, shift, panel)
            sloped(v, first, WIDTH, dlanes, apart, of_table, shift, panel, slopes)
            for c in range(0, apart, WIDTH):
                accumulate_upper(panel, 0, WIDTH, 1, drows, c, apart, dv, v_at + c, apart)
            for c in range(0, wide, WIDTH):
                accumulate_upper(slopes, 0, WIDTH, 1, rows, c, wide, dk, k_at + c, wide)
                accumulate_lower(slopes, 0, 1, WIDTH, k, k_at + c, wide, dq, k_at + c, wide)
            for t in range(first, last):
                part = splat(float32(1) / float32(t + 1))
                for c in range(t * wide, (t + 1) * wide, WIDTH):
                    store(dq, c, product(part, load(dq, c)))
        for c in range(0, wide, WIDTH):
            scales = load(parts, c), load(parts, wide + c)
            of_q = of_k = moved_q = moved_k = splat(float32(0))
            for t in range(c, steps * wide, wide):
                x, of_query, of_key = load(z, t), load(dq, t), load(dk, t)
                of_q, moved_q = fused(x, of_query, of_q), fused(one, of_query, moved_q)
                of_k, moved_k = fused(x, of_key, of_k), fused(one, of_key, moved_k)
                store(dq, t, fused(scales[0], of_query, product(scales[1], of_key)))
            at = row * 4 * wide + c
            store(of_parts, at, of_q)
            store(of_parts, at + wide, of_k)
            store(of_parts, at + 2 * wide, moved_q)
            store(of_parts, at + 3 * wide, moved_k)
        passed(dq, wide, steps, size, source, target, begin + 2 * broad, across)
        passed(dv, apart, steps, broad, source, target, begin + broad, across)
