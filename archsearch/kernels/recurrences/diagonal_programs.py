"""What a GPU does for gated recurrences without a matrix: a thread for each unit of a sequence.

Arrays as in :mod:`archsearch.kernels.recurrences.diagonal`; ``driven`` are drives with their bias,
and ``kept`` (B, T, 3, W) has what the way back needs.
"""

from __future__ import annotations

import triton
import triton.language as tl

from archsearch.kernels.recurrences.triton_functions import tanh


@triton.jit
def gru_forward(driven, a, h0, y, kept, steps, width, THREADS: tl.constexpr):
    """Keeps z, r and the candidate."""
    row = tl.program_id(0).to(tl.int64)
    unit = tl.program_id(1) * THREADS + tl.arange(0, THREADS)
    inside = unit < width
    of_z, of_r = tl.load(a + unit, inside), tl.load(a + width + unit, inside)
    of_c = tl.load(a + 2 * width + unit, inside)
    h = tl.load(h0 + row * width + unit, inside)
    for t in range(steps):
        at = (row * steps + t) * 3 * width + unit
        z = tl.sigmoid(tl.load(driven + at, inside) + of_z * h)
        r = tl.sigmoid(tl.load(driven + at + width, inside) + of_r * h)
        c = tanh(tl.load(driven + at + 2 * width, inside) + of_c * (r * h))
        h += z * (c - h)
        tl.store(kept + at, z, inside)
        tl.store(kept + at + width, r, inside)
        tl.store(kept + at + 2 * width, c, inside)
        tl.store(y + (row * steps + t) * width + unit, h, inside)


@triton.jit
def gru_backward(dy, a, h0, y, kept, ddriven, dh0, steps, width, THREADS: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    unit = tl.program_id(1) * THREADS + tl.arange(0, THREADS)
    inside = unit < width
    of_z, of_r = tl.load(a + unit, inside), tl.load(a + width + unit, inside)
    of_c = tl.load(a + 2 * width + unit, inside)
    first = tl.load(h0 + row * width + unit, inside)
    dh = tl.zeros((THREADS,), tl.float32)
    for back in range(steps):
        t = steps - 1 - back
        at, here = (row * steps + t) * 3 * width + unit, (row * steps + t) * width + unit
        z, r = tl.load(kept + at, inside), tl.load(kept + at + width, inside)
        c = tl.load(kept + at + 2 * width, inside)
        h = first
        if t > 0:
            h = tl.load(y + here - width, inside)
        dh += tl.load(dy + here, inside)
        dz = dh * (c - h) * z * (1 - z)
        dc = dh * z * (1 - c * c)
        dreset = dc * of_c  # of r h
        dr = dreset * h * r * (1 - r)
        tl.store(ddriven + at, dz, inside)
        tl.store(ddriven + at + width, dr, inside)
        tl.store(ddriven + at + 2 * width, dc, inside)
        dh = dh * (1 - z) + dz * of_z + dr * of_r + dreset * r
    tl.store(dh0 + row * width + unit, dh, inside)


@triton.jit
def lstm_forward(driven, weights, h0, c0, y, kept, states, steps, width, THREADS: tl.constexpr):
    """Keeps f, z and o, and c of every step in ``states`` (B, T, W)."""
    row = tl.program_id(0).to(tl.int64)
    unit = tl.program_id(1) * THREADS + tl.arange(0, THREADS)
    inside = unit < width
    a_f, a_z = tl.load(weights + unit, inside), tl.load(weights + width + unit, inside)
    a_o, p_f = (
        tl.load(weights + 2 * width + unit, inside),
        tl.load(weights + 3 * width + unit, inside),
    )
    p_o = tl.load(weights + 4 * width + unit, inside)
    h, c = tl.load(h0 + row * width + unit, inside), tl.load(c0 + row * width + unit, inside)
    for t in range(steps):
        at, here = (row * steps + t) * 3 * width + unit, (row * steps + t) * width + unit
        f = tl.sigmoid(tl.load(driven + at, inside) + a_f * h + p_f * c)
        z = tanh(tl.load(driven + at + width, inside) + a_z * h)
        c = z + f * (c - z)
        o = tl.sigmoid(tl.load(driven + at + 2 * width, inside) + a_o * h + p_o * c)
        h = o * tanh(c)
        tl.store(kept + at, f, inside)
        tl.store(kept + at + width, z, inside)
        tl.store(kept + at + 2 * width, o, inside)
        tl.store(states + here, c, inside)
        tl.store(y + here, h, inside)


@triton.jit
def lstm_backward(
    dy, dlast, weights, c0, kept, states, ddriven, dh0, dc0, steps, width, THREADS: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    unit = tl.program_id(1) * THREADS + tl.arange(0, THREADS)
    inside = unit < width
    a_f, a_z = tl.load(weights + unit, inside), tl.load(weights + width + unit, inside)
    a_o, p_f = (
        tl.load(weights + 2 * width + unit, inside),
        tl.load(weights + 3 * width + unit, inside),
    )
    p_o = tl.load(weights + 4 * width + unit, inside)
    first = tl.load(c0 + row * width + unit, inside)
    dh, dc = tl.zeros((THREADS,), tl.float32), tl.load(dlast + row * width + unit, inside)
    for back in range(steps):
        t = steps - 1 - back
        at, here = (row * steps + t) * 3 * width + unit, (row * steps + t) * width + unit
        f, z = tl.load(kept + at, inside), tl.load(kept + at + width, inside)
        o, c = tl.load(kept + at + 2 * width, inside), tl.load(states + here, inside)
        before = first
        if t > 0:
            before = tl.load(states + here - width, inside)
        dh += tl.load(dy + here, inside)
        read = tanh(c)
        do = dh * read * o * (1 - o)
        dc += dh * o * (1 - read * read) + p_o * do
        df = dc * (before - z) * f * (1 - f)
        dz = dc * (1 - f) * (1 - z * z)
        tl.store(ddriven + at, df, inside)
        tl.store(ddriven + at + width, dz, inside)
        tl.store(ddriven + at + 2 * width, do, inside)
        dh = a_f * df + a_z * dz + a_o * do
        dc = dc * f + p_f * df
    tl.store(dh0 + row * width + unit, dh, inside)
    tl.store(dc0 + row * width + unit, dc, inside)
