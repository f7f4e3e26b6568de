"""The loops of a dense memory per channel that is the same at every step, in chunks.

Within a chunk y_i = sum_j taps_j u_{i-j} + read_i . m, and behind it m becomes
carry m + sum_i write_i u_i. Sixteen channels are done at once, for ``ROWS`` sequences side by side,
so that what is read of the system serves them all. Arrays: ``u``, ``y`` (B, T, W) with T whole
chunks and W a multiple of ``WIDTH``, ``taps`` (C, W), ``write`` and ``read`` (C, N, W), ``carry``
(N, N, W), memories (B, N, W). On the side are parts (., ROWS, WIDTH), zero for rows that are not.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import WIDTH, fused, load, splat, store

ROWS = 4
PART = ROWS * WIDTH

contracted = partial(compiled, contracted=True)


@inlined
def _gather(x: np.ndarray, at: int, row: int, step: int, rows: int, side: np.ndarray) -> None:
    zero = splat(x.dtype.type(0))
    for i in range(side.size // PART):
        for r in range(ROWS):
            found = load(x, at + r * row + i * step) if r < rows else zero
            store(side, i * PART + r * WIDTH, found)


@inlined
def _scatter(side: np.ndarray, x: np.ndarray, at: int, row: int, step: int, rows: int) -> None:
    for i in range(side.size // PART):
        for r in range(rows):
            store(x, at + r * row + i * step, load(side, i * PART + r * WIDTH))


@inlined
def _add(
    weights: np.ndarray, at: int, apart: int, side: np.ndarray, begin: int, step: int, count: int,
    sums: np.ndarray, to: int,
) -> None:  # fmt: skip
    """Add ``count`` weights times parts of ``side``, ``step`` parts apart, to a part of sums."""
    sum0, sum1 = load(sums, to * PART), load(sums, to * PART + WIDTH)
    sum2, sum3 = load(sums, to * PART + 2 * WIDTH), load(sums, to * PART + 3 * WIDTH)
    place = begin * PART
    for _ in range(count):
        weight = load(weights, at)
        sum0 = fused(weight, load(side, place), sum0)
        sum1 = fused(weight, load(side, place + WIDTH), sum1)
        sum2 = fused(weight, load(side, place + 2 * WIDTH), sum2)
        sum3 = fused(weight, load(side, place + 3 * WIDTH), sum3)
        at += apart
        place += step * PART
    store(sums, to * PART, sum0)
    store(sums, to * PART + WIDTH, sum1)
    store(sums, to * PART + 2 * WIDTH, sum2)
    store(sums, to * PART + 3 * WIDTH, sum3)


@inlined
def _meet(
    one: np.ndarray, i: int, other: np.ndarray, j: int, count: int, sums: np.ndarray, at: int
) -> None:
    """Add the products of ``count`` parts of two sides, from i and j on, over their rows."""
    sum0 = load(sums, at)
    zero = splat(sums.dtype.type(0))
    sum1, sum2, sum3 = zero, zero, zero
    for s in range(count):
        a, b = (i + s) * PART, (j + s) * PART
        sum0 = fused(load(one, a), load(other, b), sum0)
        sum1 = fused(load(one, a + WIDTH), load(other, b + WIDTH), sum1)
        sum2 = fused(load(one, a + 2 * WIDTH), load(other, b + 2 * WIDTH), sum2)
        sum3 = fused(load(one, a + 3 * WIDTH), load(other, b + 3 * WIDTH), sum3)
    unit = splat(sums.dtype.type(1))
    store(sums, at, fused(sum0, unit, fused(sum1, unit, fused(sum2, unit, sum3))))


@contracted
def forward(
    u: np.ndarray,
    taps: np.ndarray,
    write: np.ndarray,
    read: np.ndarray,
    carry: np.ndarray,
    memory: np.ndarray,
    y: np.ndarray,
    kept: np.ndarray,
) -> None:
    """``memory`` is the one before, then the one that is left.

    ``kept`` (B, chunks, N, W) holds the memories before each chunk.
    """
    batch, steps, width = u.shape
    chunk, size = write.shape[:2]
    area, chunks = size * width, steps // chunk
    us, ys = np.zeros(chunk * PART, u.dtype), np.zeros(chunk * PART, u.dtype)
    held, after = np.zeros(size * PART, u.dtype), np.zeros(size * PART, u.dtype)
    for c in range(0, width, WIDTH):
        for n in range(0, batch, ROWS):
            rows = min(ROWS, batch - n)
            _gather(memory, n * area + c, area, width, rows, held)
            for index in range(chunks):
                begin = (n * steps + index * chunk) * width + c
                _gather(u, begin, steps * width, width, rows, us)
                _scatter(held, kept, (n * chunks + index) * area + c, chunks * area, width, rows)
                ys[:] = 0
                after[:] = 0
                for i in range(chunk):
                    _add(taps, c, width, us, i, -1, i + 1, ys, i)
                    _add(read, i * area + c, width, held, 0, 1, size, ys, i)
                _scatter(ys, y, begin, steps * width, width, rows)
                for s in range(size):
                    _add(carry, s * area + c, width, held, 0, 1, size, after, s)
                    _add(write, s * width + c, area, us, 0, 1, chunk, after, s)
                held, after = after, held
            _scatter(held, memory, n * area + c, area, width, rows)


@contracted
def backward(
    dy: np.ndarray,
    u: np.ndarray,
    taps: np.ndarray,
    write: np.ndarray,
    read: np.ndarray,
    carry: np.ndarray,
    kept: np.ndarray,
    dmemory: np.ndarray,
    du: np.ndarray,
    dtaps: np.ndarray,
    dwrite: np.ndarray,
    dread: np.ndarray,
    dcarry: np.ndarray,
) -> None:
    """``dmemory`` is that of the memory left, then of the first; the last four begin at zero."""
    batch, steps, width = u.shape
    chunk, size = write.shape[:2]
    area, chunks = size * width, steps // chunk
    us, dys, dus = (
        np.zeros(chunk * PART, u.dtype),
        np.zeros(chunk * PART, u.dtype),
        np.zeros(chunk * PART, u.dtype),
    )
    held, dheld, before = (
        np.zeros(size * PART, u.dtype),
        np.zeros(size * PART, u.dtype),
        np.zeros(size * PART, u.dtype),
    )
    for c in range(0, width, WIDTH):
        for n in range(0, batch, ROWS):
            rows = min(ROWS, batch - n)
            _gather(dmemory, n * area + c, area, width, rows, dheld)
            for index in range(chunks - 1, -1, -1):
                begin = (n * steps + index * chunk) * width + c
                _gather(u, begin, steps * width, width, rows, us)
                _gather(dy, begin, steps * width, width, rows, dys)
                _gather(kept, (n * chunks + index) * area + c, chunks * area, width, rows, held)
                dus[:] = 0
                before[:] = 0
                for i in range(chunk):
                    _add(taps, c, width, dys, i, 1, chunk - i, dus, i)
                    _add(write, i * area + c, width, dheld, 0, 1, size, dus, i)
                    _meet(dys, i, us, 0, chunk - i, dtaps, i * width + c)
                    for s in range(size):
                        at = i * area + s * width + c
                        _meet(dys, i, held, s, 1, dread, at)
                        _meet(dheld, s, us, i, 1, dwrite, at)
                _scatter(dus, du, begin, steps * width, width, rows)
                for s in range(size):
                    _add(carry, s * width + c, area, dheld, 0, 1, size, before, s)
                    _add(read, s * width + c, area, dys, 0, 1, chunk, before, s)
                    for other in range(size):
                        _meet(dheld, s, held, other, 1, dcarry, s * area + other * width + c)
                dheld, before = before, dheld
            _scatter(dheld, dmemory, n * area + c, area, width, rows)
