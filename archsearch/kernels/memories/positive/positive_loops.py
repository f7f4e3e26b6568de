"""The loops around a memory of elu(x) + 1 in single precision: features before, a quotient after.

Arrays: ``projected`` (B, T, 3 H d), ``q``, ``k`` (B, T, H, d), ``v``, ``read`` (B, T, H, V) with V
above d, ``y`` (B, T, H d), ``least`` (1,). Behind a value stands a one, then zeros; behind what is
read, its divisor.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy import float32

from archsearch.kernels.attention.causal_tiles import load_part, store_part
from archsearch.kernels.compiled import compiled
from archsearch.kernels.inlined import inlined
from archsearch.kernels.lane_functions import LOG2_E, positive_part, share
from archsearch.kernels.lanes import WIDTH, fused, product, splat, total
from archsearch.kernels.memories.lanes.lane_blocks import smaller

contracted = partial(compiled, contracted=True)


@inlined
def below(x: Any) -> Any:
    """exp(x) where x is negative, else one: the slope of elu."""
    return share(product(smaller(splat(float32(0)), x), splat(float32(LOG2_E))))


@contracted
def parted(projected: np.ndarray, q: np.ndarray, k: np.ndarray, v: np.ndarray) -> None:
    rows, steps, heads, size = q.shape
    across, wide, one = heads * size, v.shape[3], splat(float32(1))
    source, asked, named, given = projected.ravel(), q.ravel(), k.ravel(), v.ravel()
    for n in range(rows * steps):
        for c in range(0, across, WIDTH):
            count, at, to = min(across - c, WIDTH), 3 * n * across + c, n * across + c
            x = load_part(source, at, count)
            store_part(asked, to, count, fused(positive_part(x), one, below(x)))
            x = load_part(source, at + across, count)
            store_part(named, to, count, fused(positive_part(x), one, below(x)))
        for head in range(heads):
            at, to = (3 * n + 2) * across + head * size, (n * heads + head) * wide
            for c in range(0, size, WIDTH):
                count = min(size - c, WIDTH)
                store_part(given, to + c, count, load_part(source, at + c, count))
            given[to + size] = 1
            for c in range(size + 1, wide):
                given[to + c] = 0


@contracted
def joined(
    projected: np.ndarray, dq: np.ndarray, dk: np.ndarray, dv: np.ndarray, dprojected: np.ndarray
) -> None:
    rows, steps, heads, size = dq.shape
    across, wide = heads * size, dv.shape[3]
    source, target = projected.ravel(), dprojected.ravel()
    dasked, dnamed, dgiven = dq.ravel(), dk.ravel(), dv.ravel()
    for n in range(rows * steps):
        for c in range(0, across, WIDTH):
            count, at, to = min(across - c, WIDTH), n * across + c, 3 * n * across + c
            slope = product(load_part(dasked, at, count), below(load_part(source, to, count)))
            store_part(target, to, count, slope)
            to += across
            slope = product(load_part(dnamed, at, count), below(load_part(source, to, count)))
            store_part(target, to, count, slope)
        for head in range(heads):
            at, to = (n * heads + head) * wide, (3 * n + 2) * across + head * size
            for c in range(0, size, WIDTH):
                count = min(size - c, WIDTH)
                store_part(target, to + c, count, load_part(dgiven, at + c, count))


@contracted
def divided(read: np.ndarray, least: np.ndarray, y: np.ndarray) -> None:
    rows, steps, heads, wide = read.shape
    size = y.shape[2] // heads
    found, answers, one = read.ravel(), y.ravel(), least.dtype.type(1)
    for row in range(rows * steps * heads):
        part = splat(one / (found[row * wide + size] + least[0]))
        for c in range(0, size, WIDTH):
            count = min(size - c, WIDTH)
            answer = product(load_part(found, row * wide + c, count), part)
            store_part(answers, row * size + c, count, answer)


@contracted
def divided_back(
    dy: np.ndarray, y: np.ndarray, read: np.ndarray, least: np.ndarray, dread: np.ndarray
) -> None:
    rows, steps, heads, wide = read.shape
    size, one = y.shape[2] // heads, least.dtype.type(1)
    slopes, answers, found, target = dy.ravel(), y.ravel(), read.ravel(), dread.ravel()
    for row in range(rows * steps * heads):
        here, to, along = row * size, row * wide, splat(float32(0))
        by = one / (found[to + size] + least[0])
        for c in range(0, size, WIDTH):
            count = min(size - c, WIDTH)
            slope = load_part(slopes, here + c, count)
            along = fused(slope, load_part(answers, here + c, count), along)
            store_part(target, to + c, count, product(slope, splat(by)))
        target[to + size] = -total(along) * by
        for c in range(size + 1, wide):
            target[to + c] = 0
