"""What a GPU does for an LSTM or a variant: one program for some rows of one head, all steps.

Arrays as in :mod:`archsearch.kernels.recurrences.gated`; ``kept`` (H, B, T, 5, S) has i, f, g, o
and c of every step. State and slopes stay in registers, the matrix is read anew at every step.
"""

from __future__ import annotations

import triton
import triton.language as tl

from archsearch.kernels.recurrences.triton_functions import heard, tanh


@triton.jit
def forward_program(
    drives, matrix, peepholes, h0, c0, y, kept, last_h, last_c, heads, batch, steps, size,
    FORGET: tl.constexpr, SQUASH: tl.constexpr, GATES: tl.constexpr,
    ROWS: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    one = tl.arange(0, SIZE)
    mask = (row < batch)[:, None] & (one < size)[None, :]
    matrix += head * size * GATES * size
    of_i = tl.load(peepholes + head * size + one, one < size, 0.0)[None, :]
    of_f = tl.load(peepholes + (heads + head) * size + one, one < size, 0.0)[None, :]
    of_o = tl.load(peepholes + (2 * heads + head) * size + one, one < size, 0.0)[None, :]
    sequence = (head * batch + row).to(tl.int64)
    ends = sequence[:, None] * size + one[None, :]
    h, c = tl.load(h0 + ends, mask, 0.0), tl.load(c0 + ends, mask, 0.0)
    for t in range(steps):
        place = sequence * steps + t
        drive = drives + place[:, None] * (GATES * size) + one[None, :]
        first = tl.load(drive, mask, 0.0) + heard(h, matrix, 0, GATES, size, False, SIZE)
        new = tl.load(drive + (GATES - 2) * size, mask, 0.0)
        g = tanh(new + heard(h, matrix, GATES - 2, GATES, size, False, SIZE))
        opens = tl.load(drive + (GATES - 1) * size, mask, 0.0)
        opens += heard(h, matrix, GATES - 1, GATES, size, False, SIZE)
        if FORGET == "own":
            second = tl.load(drive + size, mask, 0.0)
            second += heard(h, matrix, 1, GATES, size, False, SIZE)
            i, f = tl.sigmoid(first + of_i * c), tl.sigmoid(second + of_f * c)
        elif FORGET == "coupled":
            f = tl.sigmoid(first + of_f * c)
            i = 1 - f
        else:
            i = tl.sigmoid(first + of_i * c)
            f = tl.full(i.shape, 1.0, tl.float32)
        c = f * c + i * g
        o = tl.sigmoid(opens + of_o * c)
        h = o * (tanh(c) if SQUASH else c)
        tl.store(y + place[:, None] * size + one[None, :], h, mask)
        known = kept + place[:, None] * (5 * size) + one[None, :]
        tl.store(known, i, mask)
        tl.store(known + size, f, mask)
        tl.store(known + 2 * size, g, mask)
        tl.store(known + 3 * size, o, mask)
        tl.store(known + 4 * size, c, mask)
    tl.store(last_h + ends, h, mask)
    tl.store(last_c + ends, c, mask)


@triton.jit
def backward_program(
    dy, matrix, peepholes, c0, kept, dlast_h, dlast_c, ddrives, dh0, dc0,
    heads, batch, steps, size,
    FORGET: tl.constexpr, SQUASH: tl.constexpr, GATES: tl.constexpr,
    ROWS: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    one = tl.arange(0, SIZE)
    mask = (row < batch)[:, None] & (one < size)[None, :]
    matrix += head * size * GATES * size
    of_i = tl.load(peepholes + head * size + one, one < size, 0.0)[None, :]
    of_f = tl.load(peepholes + (heads + head) * size + one, one < size, 0.0)[None, :]
    of_o = tl.load(peepholes + (2 * heads + head) * size + one, one < size, 0.0)[None, :]
    sequence = (head * batch + row).to(tl.int64)
    ends = sequence[:, None] * size + one[None, :]
    dh, dc = tl.load(dlast_h + ends, mask, 0.0), tl.load(dlast_c + ends, mask, 0.0)
    for back in range(steps):
        t = steps - 1 - back
        place = sequence * steps + t
        known = kept + place[:, None] * (5 * size) + one[None, :]
        i, f = tl.load(known, mask, 0.0), tl.load(known + size, mask, 0.0)
        g, o = tl.load(known + 2 * size, mask, 0.0), tl.load(known + 3 * size, mask, 0.0)
        c = tl.load(known + 4 * size, mask, 0.0)
        source = known - size
        if t == 0:
            source = c0 + ends
        before = tl.load(source, mask, 0.0)
        dh += tl.load(dy + place[:, None] * size + one[None, :], mask, 0.0)
        if SQUASH:
            read = tanh(c)
            dc += dh * o * (1 - read * read)
        else:
            read = c
            dc += dh * o
        dopens = dh * read * o * (1 - o)
        dc += of_o * dopens
        dnew = dc * i * (1 - g * g)
        drive = ddrives + place[:, None] * (GATES * size) + one[None, :]
        if FORGET == "coupled":
            dfirst = dc * (before - g) * f * (1 - f)
            dc = dc * f + of_f * dfirst
        else:
            dfirst = dc * g * i * (1 - i)
            dsecond = dc * before * f * (1 - f)
            dc = dc * f + of_i * dfirst
        dh = heard(dfirst, matrix, 0, GATES, size, True, SIZE)
        if FORGET == "own":
            dc += of_f * dsecond
            tl.store(drive + size, dsecond, mask)
            dh += heard(dsecond, matrix, 1, GATES, size, True, SIZE)
        dh += heard(dnew, matrix, GATES - 2, GATES, size, True, SIZE)
        dh += heard(dopens, matrix, GATES - 1, GATES, size, True, SIZE)
        tl.store(drive, dfirst, mask)
        tl.store(drive + (GATES - 2) * size, dnew, mask)
        tl.store(drive + (GATES - 1) * size, dopens, mask)
    tl.store(dh0 + ends, dh, mask)
    tl.store(dc0 + ends, dc, mask)
