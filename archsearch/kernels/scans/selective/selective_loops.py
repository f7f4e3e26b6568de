"""The loops of the selective scan in single precision, sixteen channels at once.

Arrays: ``delta``, ``u``, ``y`` (B, T, E) with E a multiple of ``WIDTH``, ``write``, ``read``
(B, T, N), ``rate`` (N, E), memories (B, N, E). Neither the factors nor the states of a sequence
are ever held as a whole: the backward pass computes them again, chunk by chunk.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy import float32

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import (
    WIDTH,
    fused,
    load,
    power_of_two,
    product,
    splat,
    store,
    total,
)

CHUNK = 8  # positions whose memories the backward pass holds at once
LOG2_E = 1.4426950408889634

contracted = partial(compiled, contracted=True)


@contracted
def forward(
    delta: np.ndarray,
    u: np.ndarray,
    write: np.ndarray,
    read: np.ndarray,
    rate: np.ndarray,
    memory: np.ndarray,
    y: np.ndarray,
    kept: np.ndarray,
    lowest: float,
) -> None:
    """``memory`` is the one before, then the one that is left.

    A factor lies between ``lowest`` and one. ``kept`` (B, chunks, N, E) holds the memories before
    each chunk.
    """
    batch, steps, width = delta.shape
    size = rate.shape[0]
    writes, reads = write.ravel(), read.ravel()
    zero, scale = splat(float32(0)), splat(float32(-LOG2_E))
    low, span = splat(float32(lowest)), splat(float32(1) - float32(lowest))
    for n in range(batch):
        begin = n * size * width
        for t in range(steps):
            if t % CHUNK == 0:
                kept[n, t // CHUNK] = memory[n]
            here, named = (n * steps + t) * width, (n * steps + t) * size
            for c in range(0, width, WIDTH):
                step = load(delta, here + c)
                added, turn, found = product(step, load(u, here + c)), product(step, scale), zero
                place = c
                for m in range(size):
                    factor = fused(span, power_of_two(product(turn, load(rate, place))), low)
                    state = product(factor, load(memory, begin + place))
                    state = fused(added, splat(writes[named + m]), state)
                    store(memory, begin + place, state)
                    found = fused(state, splat(reads[named + m]), found)
                    place += width
                store(y, here + c, found)


@contracted
def backward(
    dy: np.ndarray,
    delta: np.ndarray,
    u: np.ndarray,
    write: np.ndarray,
    read: np.ndarray,
    rate: np.ndarray,
    kept: np.ndarray,
    dmemory: np.ndarray,
    ddelta: np.ndarray,
    du: np.ndarray,
    dwrite: np.ndarray,
    dread: np.ndarray,
    drate: np.ndarray,
    lowest: float,
) -> None:
    """``dmemory`` is that of the memory left, then of the first; ``drate`` is zero at first."""
    batch, steps, width = delta.shape
    size = rate.shape[0]
    writes, reads, dwrites, dreads = write.ravel(), read.ravel(), dwrite.ravel(), dread.ravel()
    zero, minus, scale = splat(float32(0)), splat(float32(-1)), splat(float32(-LOG2_E))
    low, span = splat(float32(lowest)), splat(float32(1) - float32(lowest))
    area = size * WIDTH
    states = np.zeros((CHUNK + 1) * area, float32)
    factors, wrote, found = (
        np.zeros(CHUNK * area, float32),
        np.zeros(CHUNK * area, float32),
        np.zeros(CHUNK * area, float32),
    )
    rates = np.zeros(size * width, float32)
    for n in range(batch):
        begin = n * size * width
        rates[:] = 0
        for chunk in range((steps - 1) // CHUNK, -1, -1):
            count = min(CHUNK, steps - chunk * CHUNK)
            origin = (n * kept.shape[1] + chunk) * size * width
            wrote[:] = 0
            found[:] = 0
            for c in range(0, width, WIDTH):
                for m in range(size):
                    store(states, m * WIDTH, load(kept, origin + m * width + c))
                for s in range(count):
                    t = n * steps + chunk * CHUNK + s
                    step = load(delta, t * width + c)
                    added, turn = product(step, load(u, t * width + c)), product(step, scale)
                    at = s * area
                    for m in range(size):
                        factor = power_of_two(product(turn, load(rate, m * width + c)))
                        factor = fused(span, factor, low)
                        state = product(factor, load(states, at))
                        state = fused(added, splat(writes[t * size + m]), state)
                        store(factors, at, factor)
                        store(states, at + area, state)
                        at += WIDTH
                for s in range(count - 1, -1, -1):
                    t = n * steps + chunk * CHUNK + s
                    slope, step = load(dy, t * width + c), load(delta, t * width + c)
                    given = load(u, t * width + c)
                    added = product(step, given)
                    dadded, dstep, at = zero, zero, s * area
                    for m in range(size):
                        place = m * width + c
                        back = fused(
                            slope, splat(reads[t * size + m]), load(dmemory, begin + place)
                        )
                        store(found, at, fused(slope, load(states, at + area), load(found, at)))
                        store(wrote, at, fused(back, added, load(wrote, at)))
                        dadded = fused(back, splat(writes[t * size + m]), dadded)
                        factor = load(factors, at)
                        store(dmemory, begin + place, product(back, factor))
                        # the part of a factor that fades
                        back = product(back, fused(low, minus, factor))
                        back = product(back, load(states, at))
                        dstep = fused(back, load(rate, place), dstep)
                        store(rates, place, fused(back, step, load(rates, place)))
                        at += WIDTH
                    store(ddelta, t * width + c, fused(dadded, given, product(dstep, minus)))
                    store(du, t * width + c, product(dadded, step))
            for s in range(count):
                t = n * steps + chunk * CHUNK + s
                for m in range(size):
                    dwrites[t * size + m] = total(load(wrote, s * area + m * WIDTH))
                    dreads[t * size + m] = total(load(found, s * area + m * WIDTH))
        for at in range(0, size * width, WIDTH):
            store(drate, at, fused(minus, load(rates, at), load(drate, at)))
