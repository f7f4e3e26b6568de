"""The short convolution of a selective mixer and its silu, where the projections of both lie.

Arrays, in single precision: ``both`` (B, T, 2 E) with E a multiple of ``WIDTH``, whose first half
is convolved; ``recent`` (B, taps - 1, E), what came before; ``taps`` (taps, E), the oldest first;
``u`` (B, T, E).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy import float32

from archsearch.kernels.compiled import compiled
from archsearch.kernels.inlined import inlined
from archsearch.kernels.lane_functions import sigmoid
from archsearch.kernels.lanes import WIDTH, fused, load, prefetch, product, splat, store

BLOCK = 64  # positions of a vector of channels that are worked on together, a multiple of 4

contracted = partial(compiled, contracted=True)


@inlined
def _gather(
    both: Any, recent: Any, n: Any, steps: Any, begin: Any, count: Any, c: Any, seen: Any
) -> None:
    """The inputs that ``count`` positions from ``begin`` on depend on, one after the other."""
    past, width = recent.shape[1], recent.shape[2]
    for i in range(count + past):
        t = begin + i - past
        if t < 0:
            store(seen, i * WIDTH, load(recent, (n * past + past + t) * width + c))
        else:
            store(seen, i * WIDTH, load(both, 2 * (n * steps + t) * width + c))
            prefetch(both, 2 * (n * steps + t) * width + c + WIDTH)


@inlined
def _convolved(seen: Any, at: Any, taps: Any, c: Any) -> Any:
    sums = product(load(seen, at), load(taps, c))
    for tap in range(1, taps.shape[0]):
        sums = fused(load(seen, at + tap * WIDTH), load(taps, tap * taps.shape[1] + c), sums)
    return sums


@contracted
def forward(both: np.ndarray, recent: np.ndarray, taps: np.ndarray, u: np.ndarray) -> None:
    batch, steps, width = u.shape
    seen = np.zeros((BLOCK + taps.shape[0]) * WIDTH, float32)
    for n in range(batch):
        for begin in range(0, steps, BLOCK):
            count = min(BLOCK, steps - begin)
            for c in range(0, width, WIDTH):
                _gather(both, recent, n, steps, begin, count, c, seen)
                for s in range(count):
                    sums = _convolved(seen, s * WIDTH, taps, c)
                    store(u, (n * steps + begin + s) * width + c, product(sums, sigmoid(sums)))


@contracted
def backward(
    du: np.ndarray,
    both: np.ndarray,
    recent: np.ndarray,
    taps: np.ndarray,
    dboth: np.ndarray,
    drecent: np.ndarray,
    dtaps: np.ndarray,
) -> None:
    """Of ``dboth`` the first half is written; to ``dtaps`` is added."""
    batch, steps, width = du.shape
    past = taps.shape[0] - 1
    zero, one, minus = splat(float32(0)), splat(float32(1)), splat(float32(-1))
    seen = np.zeros((BLOCK + past) * WIDTH, float32)
    # those of the positions after a block, which its last inputs act on too, follow its own
    slopes, later = np.zeros((BLOCK + past) * WIDTH, float32), np.zeros(past * width, float32)
    for n in range(batch):
        later[:] = 0
        for block in range((steps - 1) // BLOCK, -1, -1):
            begin = block * BLOCK
            count = min(BLOCK, steps - begin)
            for c in range(0, width, WIDTH):
                _gather(both, recent, n, steps, begin, count, c, seen)
                for s in range(count):
                    at = (n * steps + begin + s) * width + c
                    sums = _convolved(seen, s * WIDTH, taps, c)
                    half = sigmoid(sums)
                    # the slope of x s(x) is s + x s (1 - s)
                    turn = fused(product(sums, half), fused(half, minus, one), half)
                    store(slopes, s * WIDTH, product(load(du, at), turn))
                    prefetch(du, at + WIDTH)
                    prefetch(dboth, 2 * at - c + WIDTH)
                for tap in range(past + 1):
                    place = tap * width + c
                    sums = zero
                    for s in range(count):
                        sums = fused(load(slopes, s * WIDTH), load(seen, (s + tap) * WIDTH), sums)
                    store(dtaps, place, fused(sums, one, load(dtaps, place)))
                for i in range(past):
                    store(slopes, (count + i) * WIDTH, load(later, i * width + c))
                for s in range(count):
                    sums = zero
                    for tap in range(past + 1):
                        slope = load(slopes, (s + past - tap) * WIDTH)
                        sums = fused(slope, load(taps, tap * width + c), sums)
                    store(dboth, 2 * (n * steps + begin + s) * width + c, sums)
                for i in range(past):
                    store(later, i * width + c, load(slopes, i * WIDTH))
                if block == 0:
                    for i in range(past):
                        sums = zero
                        for tap in range(i + 1):
                            slope = load(slopes, (i - tap) * WIDTH)
                            sums = fused(slope, load(taps, tap * width + c), sums)
                        store(drecent, (n * past + i) * width + c, sums)
