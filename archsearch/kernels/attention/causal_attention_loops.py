"""The loops of causal attention in single precision.

Queries go by tiles of ``WIDTH``, one a lane. The scores of a tile with all its keys are a panel,
one key a row, so that the softmax of a query takes place within its lane. Vectors of a head are
filled up with zeros to whole lanes. Of the square on the diagonal only what queries see is summed.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.attention.causal_tiles import (
    across_lanes,
    given_back,
    in_powers,
    largest_of,
    scored,
    spun,
    taken,
)
from archsearch.kernels.compiled import compiled
from archsearch.kernels.lane_functions import share
from archsearch.kernels.lanes import (
    WIDTH,
    fused,
    lessened,
    load,
    product,
    quotient,
    repeated,
    splat,
    store,
)
from archsearch.kernels.memories.lanes.lane_blocks import (
    accumulate,
    accumulate_lower,
    accumulate_upper,
    multiply,
)

contracted = partial(compiled, contracted=True)


@contracted
def forward(
    projected: np.ndarray,
    added: np.ndarray,
    turns: np.ndarray,
    o: np.ndarray,
    compared: np.ndarray,
    known: np.ndarray,
) -> None:
    """Fill ``o``, ``compared``, and ``known`` (B, H, 2, padded T).

    The last is the largest score of each query, and one over the sum of the powers. ``turns`` is
    (T, d / 2, 2), ``added`` (H, WIDTH + padded T) with distance zero at ``WIDTH``; either may be
    empty.
    """
    kind = projected.dtype.type
    batch, steps, across = projected.shape
    heads, padded = known.shape[1], known.shape[3]
    size = o.shape[2] // heads
    key_heads = compared.shape[2] // size
    shared, wide, distances = heads // key_heads, size + -size % WIDTH, added.shape[1]
    keys, values = np.zeros(padded * wide, kind), np.zeros(padded * wide, kind)
    rows, queries = np.zeros(WIDTH * wide, kind), np.zeros(wide * WIDTH, kind)
    panel, limits = np.zeros(padded * WIDTH, kind), np.full(WIDTH * WIDTH, np.inf, kind)
    for key in range(WIDTH):
        limits[key * WIDTH : key * WIDTH + key] = -np.inf
    source, table = projected.ravel(), added.copy().ravel()
    in_powers(table)
    spins = np.zeros(min(turns.size, 1) * 2 * steps * wide, kind)
    spun(turns.ravel(), size, wide, spins)
    answers, kept, seen = o.ravel(), compared.ravel(), known.ravel()
    still, scale, one = spins[:0], kind(1 / np.sqrt(size)), splat(kind(1))
    for row in range(batch):
        begin = row * steps * across
        for head in range(heads):
            group = head // shared
            if head % shared == 0:
                at = begin + (heads + group) * size
                taken(source, at, across, 0, steps, size, spins, kind(1), keys, wide)
                at += key_heads * size
                taken(source, at, across, 0, steps, size, still, kind(1), values, wide)
                to = (row * steps * key_heads + group) * size
                given_back(keys, wide, 0, steps, size, still, kind(1), kept, to, key_heads * size)
            for first in range(0, steps, WIDTH):
                at, last = begin + head * size, min(first + WIDTH, steps)
                taken(source, at, across, first, last, size, spins, scale, rows, wide)
                across_lanes(rows, wide, queries)
                in_powers(queries)
                shift = head * distances + WIDTH + first
                scored(panel, keys, queries, table, shift, limits, first, size, wide)
                largest = largest_of(panel, first + WIDTH)
                total = splat(kind(0))
                for key in range(0, (first + WIDTH) * WIDTH, WIDTH):
                    power = share(lessened(one, largest, load(panel, key)))
                    store(panel, key, power)
                    total = fused(power, one, total)
                place = (row * heads + head) * 2 * padded + first
                store(seen, place, largest)
                store(seen, place + padded, quotient(one, total))
                for c in range(0, wide, WIDTH):
                    multiply(panel, 0, 1, WIDTH, values, c, wide, rows, c, wide, first)
                    there, here = first * WIDTH, first * wide + c
                    accumulate_lower(panel, there, 1, WIDTH, values, here, wide, rows, c, wide)
                    for query in range(WIDTH):
                        part, at = repeated(seen, place + padded + query), query * wide + c
                        store(rows, at, product(load(rows, at), part))
                to = (row * steps * heads + head) * size
                given_back(rows, wide, first, last, size, still, kind(1), answers, to, heads * size)


@contracted
def backward(
    projected: np.ndarray,
    added: np.ndarray,
    turns: np.ndarray,
    o: np.ndarray,
    compared: np.ndarray,
    known: np.ndarray,
    do: np.ndarray,
    dcompared: np.ndarray,
    dprojected: np.ndarray,
    dadded: np.ndarray,
) -> None:
    """Fill ``dprojected``, add to ``dadded``; ``dcompared`` is empty where nobody used the keys."""
    kind = projected.dtype.type
    batch, steps, across = projected.shape
    heads, padded = known.shape[1], known.shape[3]
    size = o.shape[2] // heads
    key_heads = compared.shape[2] // size
    shared, wide, distances = heads // key_heads, size + -size % WIDTH, added.shape[1]
    keys, values = np.zeros(padded * wide, kind), np.zeros(padded * wide, kind)
    dkeys, dvalues = np.zeros(padded * wide, kind), np.zeros(padded * wide, kind)
    rows, queries = np.zeros(WIDTH * wide, kind), np.zeros(wide * WIDTH, kind)
    drows, dlanes = np.zeros(WIDTH * wide, kind), np.zeros(wide * WIDTH, kind)
    orows, olanes = np.zeros(WIDTH * wide, kind), np.zeros(wide * WIDTH, kind)
    panel, slopes = np.zeros(padded * WIDTH, kind), np.zeros(padded * WIDTH, kind)
    limits = np.full(WIDTH * WIDTH, np.inf, kind)
    for key in range(WIDTH):
        limits[key * WIDTH : key * WIDTH + key] = -np.inf
    source, table = projected.ravel(), added.copy().ravel()
    in_powers(table)
    spins = np.zeros(min(turns.size, 1) * 2 * steps * wide, kind)
    spun(turns.ravel(), size, wide, spins)
    answers, kept, seen = o.ravel(), compared.ravel(), known.ravel()
    upstream, used = do.ravel(), dcompared.ravel()
    dsource, dtable = dprojected.ravel(), dadded.ravel()
    still, scale, one = spins[:0], kind(1 / np.sqrt(size)), splat(kind(1))
    for row in range(batch):
        begin = row * steps * across
        for group in range(key_heads):
            own = (row * steps * key_heads + group) * size
            taken(kept, own, key_heads * size, 0, steps, size, still, kind(1), keys, wide)
            theirs = begin + (heads + key_heads + group) * size
            taken(source, theirs, across, 0, steps, size, still, kind(1), values, wide)
            dkeys[:], dvalues[:] = 0, 0
            if used.size > 0:
                taken(used, own, key_heads * size, 0, steps, size, still, kind(1), dkeys, wide)
            for head in range(group * shared, (group + 1) * shared):
                for first in range(0, steps, WIDTH):
                    last, at = min(first + WIDTH, steps), begin + head * size
                    taken(source, at, across, first, last, size, spins, scale, rows, wide)
                    across_lanes(rows, wide, queries)
                    in_powers(queries)
                    at = (row * steps * heads + head) * size
                    taken(answers, at, heads * size, first, last, size, still, kind(1), orows, wide)
                    taken(
                        upstream, at, heads * size, first, last, size, still, kind(1), drows, wide
                    )
                    across_lanes(orows, wide, olanes)
                    across_lanes(drows, wide, dlanes)
                    both = splat(kind(0))
                    for i in range(0, size * WIDTH, WIDTH):
                        both = fused(load(olanes, i), load(dlanes, i), both)
                    place = (row * heads + head) * 2 * padded + first
                    shift = head * distances + WIDTH + first
                    scored(panel, keys, queries, table, shift, limits, first, size, wide)
                    largest, part = load(seen, place), load(seen, place + padded)
                    for block in range(0, first + WIDTH, WIDTH):
                        b, v = block * WIDTH, block * wide
                        multiply(values, v, wide, 1, dlanes, 0, WIDTH, slopes, b, WIDTH, size)
                        for key in range(block, block + WIDTH):
                            power = share(lessened(one, largest, load(panel, key * WIDTH)))
                            weight = product(power, part)
                            slope = lessened(one, both, load(slopes, key * WIDTH))
                            slope = product(weight, slope)
                            store(panel, key * WIDTH, weight)
                            store(slopes, key * WIDTH, slope)
                            if distances > 0:
                                far = shift - key
                                store(dtable, far, fused(slope, one, load(dtable, far)))
                        for c in range(0, wide, WIDTH):
                            to = v + c
                            if block < first:
                                accumulate(
                                    panel, b, WIDTH, 1, drows, c, wide, dvalues, to, wide, WIDTH
                                )
                                accumulate(
                                    slopes, b, WIDTH, 1, rows, c, wide, dkeys, to, wide, WIDTH
                                )
                            else:
                                accumulate_upper(
                                    panel, b, WIDTH, 1, drows, c, wide, dvalues, to, wide
                                )
                                accumulate_upper(
                                    slopes, b, WIDTH, 1, rows, c, wide, dkeys, to, wide
                                )
                    for c in range(0, wide, WIDTH):
                        multiply(slopes, 0, 1, WIDTH, keys, c, wide, orows, c, wide, first)
                        there, here = first * WIDTH, first * wide + c
                        accumulate_lower(slopes, there, 1, WIDTH, keys, here, wide, orows, c, wide)
                    to = begin + head * size
                    given_back(orows, wide, first, last, size, spins, scale, dsource, to, across)
            to = begin + (heads + group) * size
            given_back(dkeys, wide, 0, steps, size, spins, kind(1), dsource, to, across)
            given_back(dvalues, wide, 0, steps, size, still, kind(1), dsource, theirs, across)
