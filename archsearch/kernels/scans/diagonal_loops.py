"""The loops of a diagonal memory that is the same at every step, sixteen channels at once.

m_t = f m_{t-1} + w u_t, y_t = Re(r . m_t). Arrays: ``u``, ``y`` (B, T, W) with W a multiple of
``WIDTH``, ``factor``, ``write``, ``read`` (M, 2, W), memories (B, M, 2, W), the real parts before
the imaginary ones. A unit is done for a chunk of positions before the next is begun, so that it
stays in the registers.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import WIDTH, fused, lessened, load, product, splat, store

CHUNK = 32  # positions whose memories the backward pass holds at once

contracted = partial(compiled, contracted=True)


@contracted
def forward(
    u: np.ndarray,
    factor: np.ndarray,
    write: np.ndarray,
    read: np.ndarray,
    memory: np.ndarray,
    y: np.ndarray,
    kept: np.ndarray,
) -> None:
    """``memory`` is the one before, then the one that is left.

    ``kept`` (B, chunks, M, 2, W) holds the memories before each chunk.
    """
    batch, steps, width = u.shape
    units = factor.shape[0]
    zero = splat(u.dtype.type(0))
    for n in range(batch):
        for chunk in range(kept.shape[1]):
            begin, end = chunk * CHUNK, min(steps, (chunk + 1) * CHUNK)
            for c in range(0, width, WIDTH):
                for at in range((n * steps + begin) * width + c, (n * steps + end) * width, width):
                    store(y, at, zero)
                for m in range(units):
                    place = 2 * m * width + c
                    here = 2 * n * units * width + place
                    save = 2 * (n * kept.shape[1] + chunk) * units * width + place
                    fr, fi = load(factor, place), load(factor, place + width)
                    wr, wi = load(write, place), load(write, place + width)
                    rr, ri = load(read, place), load(read, place + width)
                    real, imaginary = load(memory, here), load(memory, here + width)
                    store(kept, save, real)
                    store(kept, save + width, imaginary)
                    at = (n * steps + begin) * width + c
                    for _ in range(begin, end):
                        given, before = load(u, at), real
                        real = lessened(fi, imaginary, fused(fr, real, product(wr, given)))
                        imaginary = fused(fi, before, fused(fr, imaginary, product(wi, given)))
                        answer = fused(rr, real, load(y, at))
                        store(y, at, lessened(ri, imaginary, answer))
                        at += width
                    store(memory, here, real)
                    store(memory, here + width, imaginary)


@contracted
def backward(
    dy: np.ndarray,
    u: np.ndarray,
    factor: np.ndarray,
    write: np.ndarray,
    read: np.ndarray,
    kept: np.ndarray,
    dmemory: np.ndarray,
    du: np.ndarray,
    dfactor: np.ndarray,
    dwrite: np.ndarray,
    dread: np.ndarray,
) -> None:
    """``dmemory`` is that of the memory left, then of the first; the last three are zero at first.

    The slope of a complex number is that of its real part and that of its imaginary part.
    """
    batch, steps, width = u.shape
    units = factor.shape[0]
    zero, one = splat(u.dtype.type(0)), splat(u.dtype.type(1))
    states = np.zeros((CHUNK + 1) * 2 * WIDTH, u.dtype)
    for n in range(batch):
        for chunk in range(kept.shape[1] - 1, -1, -1):
            begin, end = chunk * CHUNK, min(steps, (chunk + 1) * CHUNK)
            for c in range(0, width, WIDTH):
                first, last = (n * steps + begin) * width + c, (n * steps + end - 1) * width + c
                for at in range(first, last + 1, width):
                    store(du, at, zero)
                for m in range(units):
                    place = 2 * m * width + c
                    here = 2 * n * units * width + place
                    saved = 2 * (n * kept.shape[1] + chunk) * units * width + place
                    fr, fi = load(factor, place), load(factor, place + width)
                    wr, wi = load(write, place), load(write, place + width)
                    rr, ri = load(read, place), load(read, place + width)
                    real, imaginary = load(kept, saved), load(kept, saved + width)
                    store(states, 0, real)
                    store(states, WIDTH, imaginary)
                    row = 0
                    for at in range(first, last + 1, width):
                        given, before = load(u, at), real
                        real = lessened(fi, imaginary, fused(fr, real, product(wr, given)))
                        imaginary = fused(fi, before, fused(fr, imaginary, product(wi, given)))
                        row += 2 * WIDTH
                        store(states, row, real)
                        store(states, row + WIDTH, imaginary)
                    dreal, dimaginary = load(dmemory, here), load(dmemory, here + width)
                    dfr, dfi, dwr, dwi, drr, dri = zero, zero, zero, zero, zero, zero
                    at = last
                    for _ in range(begin, end):
                        slope, given = load(dy, at), load(u, at)
                        drr, dri = fused(slope, real, drr), lessened(slope, imaginary, dri)
                        dreal, dimaginary = (
                            fused(rr, slope, dreal),
                            lessened(ri, slope, dimaginary),
                        )
                        row -= 2 * WIDTH
                        real, imaginary = load(states, row), load(states, row + WIDTH)
                        dwr, dwi = fused(dreal, given, dwr), fused(dimaginary, given, dwi)
                        dgiven = fused(dimaginary, wi, fused(dreal, wr, load(du, at)))
                        store(du, at, dgiven)
                        dfr = fused(dimaginary, imaginary, fused(dreal, real, dfr))
                        dfi = lessened(dreal, imaginary, fused(dimaginary, real, dfi))
                        back = fused(fi, dimaginary, product(fr, dreal))
                        dimaginary = lessened(fi, dreal, product(fr, dimaginary))
                        dreal = back
                        at -= width
                    store(dmemory, here, dreal)
                    store(dmemory, here + width, dimaginary)
                    store(dfactor, place, fused(dfr, one, load(dfactor, place)))
                    store(dfactor, place + width, fused(dfi, one, load(dfactor, place + width)))
                    store(dwrite, place, fused(dwr, one, load(dwrite, place)))
                    store(dwrite, place + width, fused(dwi, one, load(dwrite, place + width)))
                    store(dread, place, fused(drr, one, load(dread, place)))
                    store(dread, place + width, fused(dri, one, load(dread, place + width)))
