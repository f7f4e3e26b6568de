"""The selective scan from its low-rank step sizes to its gate, eight positions at a time.

The states of a chunk pass through registers, those of one vector of channels after the other.
Arrays, in single precision: ``u``, ``joined``, ``gated`` (B, T, E) with E a multiple of ``WIDTH``;
``parts`` (B, T, R + 2 N), low-rank step sizes, inputs and read-outs; ``both`` (B, T, 2 E), whose
second half is the gate; ``up`` (R, E), ``bias``, ``skip`` (E,), ``rate`` (E / 16, N, 16), memories
(B, E / 16, N, 16), ``kept`` (B, chunks, E / 16, N, 16).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy import float32

from archsearch.kernels.compiled import compiled
from archsearch.kernels.inlined import inlined
from archsearch.kernels.lane_functions import LOG2_E, share, sigmoid, softplus
from archsearch.kernels.lanes import (
    WIDTH,
    fused,
    load,
    prefetch,
    product,
    repeated,
    splat,
    store,
)

CHUNK = 8  # positions whose states are in registers at once; the loops below are written for 8

contracted = partial(compiled, contracted=True)


@inlined
def raised_at(parts: Any, row: Any, up: Any, bias: Any, c: Any) -> Any:
    """What the step size of a position is the softplus of."""
    sums = load(bias, c)
    for r in range(up.shape[0]):
        sums = fused(repeated(parts, row + r), load(up, r * up.shape[1] + c), sums)
    return sums


@contracted
def forward(
    u: np.ndarray,
    parts: np.ndarray,
    both: np.ndarray,
    up: np.ndarray,
    bias: np.ndarray,
    rate: np.ndarray,
    skip: np.ndarray,
    memory: np.ndarray,
    joined: np.ndarray,
    gated: np.ndarray,
    kept: np.ndarray,
) -> None:
    """``memory`` is the one before, then the one that is left; ``kept`` those before each chunk.

    ``joined`` is the answer with its direct path, ``gated`` what the gate lets through of it.
    """
    batch, steps, width = u.shape
    ranks, size, apart = up.shape[0], rate.shape[1], parts.shape[2]
    zero, minus = splat(float32(0)), splat(float32(-LOG2_E))
    turns, added = np.zeros(CHUNK * WIDTH, float32), np.zeros(CHUNK * WIDTH, float32)
    p = np.zeros(CHUNK, np.int64)
    for n in range(batch):
        for chunk in range((steps + CHUNK - 1) // CHUNK):
            first, count = n * steps + chunk * CHUNK, min(CHUNK, steps - chunk * CHUNK)
            for s in range(CHUNK):
                p[s] = (first + min(s, count - 1)) * apart + ranks
            w0, w1, w2, w3, w4, w5, w6, w7 = p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]
            origin = (n * kept.shape[1] + chunk) * size * width
            for c in range(0, width, WIDTH):
                for s in range(count):
                    row = first + s
                    step = softplus(raised_at(parts, row * apart, up, bias, c))
                    store(turns, s * WIDTH, product(step, minus))
                    store(added, s * WIDTH, product(step, load(u, row * width + c)))
                    ahead = (row + CHUNK) * width + c
                    prefetch(u, ahead)
                    prefetch(joined, ahead)
                    prefetch(gated, ahead)
                    prefetch(both, ahead + (row + CHUNK + 1) * width)
                for s in range(count, CHUNK):
                    # what is beyond the end changes nothing
                    store(turns, s * WIDTH, zero)
                    store(added, s * WIDTH, zero)
                t0, t1, t2, t3 = load(turns, 0), load(turns, 16), load(turns, 32), load(turns, 48)
                t4, t5, t6, t7 = load(turns, 64), load(turns, 80), load(turns, 96), load(turns, 112)
                a0, a1, a2, a3 = load(added, 0), load(added, 16), load(added, 32), load(added, 48)
                a4, a5, a6, a7 = load(added, 64), load(added, 80), load(added, 96), load(added, 112)
                y0, y1, y2, y3, y4, y5, y6, y7 = zero, zero, zero, zero, zero, zero, zero, zero
                for m in range(size):
                    at, r = c * size + m * WIDTH, m + size
                    pace, h = load(rate, at), load(memory, n * size * width + at)
                    store(kept, origin + at, h)
                    h = fused(a0, repeated(parts, w0 + m), product(share(product(t0, pace)), h))
                    y0 = fused(h, repeated(parts, w0 + r), y0)
                    h = fused(a1, repeated(parts, w1 + m), product(share(product(t1, pace)), h))
                    y1 = fused(h, repeated(parts, w1 + r), y1)
                    h = fused(a2, repeated(parts, w2 + m), product(share(product(t2, pace)), h))
                    y2 = fused(h, repeated(parts, w2 + r), y2)
                    h = fused(a3, repeated(parts, w3 + m), product(share(product(t3, pace)), h))
                    y3 = fused(h, repeated(parts, w3 + r), y3)
                    h = fused(a4, repeated(parts, w4 + m), product(share(product(t4, pace)), h))
                    y4 = fused(h, repeated(parts, w4 + r), y4)
                    h = fused(a5, repeated(parts, w5 + m), product(share(product(t5, pace)), h))
                    y5 = fused(h, repeated(parts, w5 + r), y5)
                    h = fused(a6, repeated(parts, w6 + m), product(share(product(t6, pace)), h))
                    y6 = fused(h, repeated(parts, w6 + r), y6)
                    h = fused(a7, repeated(parts, w7 + m), product(share(product(t7, pace)), h))
                    y7 = fused(h, repeated(parts, w7 + r), y7)
                    store(memory, n * size * width + at, h)
                store(turns, 0, y0)
                store(turns, 16, y1)
                store(turns, 32, y2)
                store(turns, 48, y3)
                store(turns, 64, y4)
                store(turns, 80, y5)
                store(turns, 96, y6)
                store(turns, 112, y7)
                straight = load(skip, c)
                for s in range(count):
                    row = first + s
                    at = row * width + c
                    y = fused(straight, load(u, at), load(turns, s * WIDTH))
                    opened = load(both, at + (row + 1) * width)
                    store(joined, at, y)
                    store(gated, at, product(product(y, opened), sigmoid(opened)))
