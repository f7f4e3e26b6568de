"""What a GPU does for the sLSTM: one program for some rows of one head, all steps.

Arrays as in :mod:`archsearch.kernels.recurrences.gated`; ``kept`` (H, B, T, 7, S) has of every step
what is taken of the new, what is kept of the old, z, o, c, n and the slope of the share kept.
"""

from __future__ import annotations

import triton
import triton.language as tl

from archsearch.kernels.recurrences.triton_functions import heard, log_sigmoid, tanh


@triton.jit
def forward_program(
    drives, matrix, h0, c0, n0, m0, y, kept, last_h, last_c, last_n, last_m, batch, steps, size,
    SIGMOID: tl.constexpr, ROWS: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    one = tl.arange(0, SIZE)
    mask = (row < batch)[:, None] & (one < size)[None, :]
    matrix += head * size * 4 * size
    sequence = (head * batch + row).to(tl.int64)
    ends = sequence[:, None] * size + one[None, :]
    h, c = tl.load(h0 + ends, mask, 0.0), tl.load(c0 + ends, mask, 0.0)
    n, m = tl.load(n0 + ends, mask, 1.0), tl.load(m0 + ends, mask, 0.0)
    for t in range(steps):
        place = sequence * steps + t
        drive = drives + place[:, None] * (4 * size) + one[None, :]
        i = tl.load(drive, mask, 0.0) + heard(h, matrix, 0, 4, size, False, SIZE)
        f = tl.load(drive + size, mask, 0.0) + heard(h, matrix, 1, 4, size, False, SIZE)
        z = tl.load(drive + 2 * size, mask, 0.0) + heard(h, matrix, 2, 4, size, False, SIZE)
        o = tl.load(drive + 3 * size, mask, 0.0) + heard(h, matrix, 3, 4, size, False, SIZE)
        if SIGMOID:
            old, slope = log_sigmoid(f) + m, tl.sigmoid(-f)
        else:
            old, slope = f + m, tl.full(f.shape, 1.0, tl.float32)
        m = tl.maximum(old, i, propagate_nan=tl.PropagateNan.ALL)
        keep, take = tl.exp(old - m), tl.exp(i - m)
        z, o = tanh(z), tl.sigmoid(o)
        c = keep * c + take * z
        n = keep * n + take
        h = o * c / n
        tl.store(y + place[:, None] * size + one[None, :], h, mask)
        known = kept + place[:, None] * (7 * size) + one[None, :]
        tl.store(known, take, mask)
        tl.store(known + size, keep, mask)
        tl.store(known + 2 * size, z, mask)
        tl.store(known + 3 * size, o, mask)
        tl.store(known + 4 * size, c, mask)
        tl.store(known + 5 * size, n, mask)
        tl.store(known + 6 * size, slope, mask)
    tl.store(last_h + ends, h, mask)
    tl.store(last_c + ends, c, mask)
    tl.store(last_n + ends, n, mask)
    tl.store(last_m + ends, m, mask)


@triton.jit
def backward_program(
    dy, matrix, c0, n0, kept, dlast_h, dlast_c, dlast_n, ddrives, dh0, dc0, dn0, batch, steps, size,
    ROWS: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    one = tl.arange(0, SIZE)
    mask = (row < batch)[:, None] & (one < size)[None, :]
    matrix += head * size * 4 * size
    sequence = (head * batch + row).to(tl.int64)
    ends = sequence[:, None] * size + one[None, :]
    dh, dc = tl.load(dlast_h + ends, mask, 0.0), tl.load(dlast_c + ends, mask, 0.0)
    dn = tl.load(dlast_n + ends, mask, 0.0)
    for back in range(steps):
        t = steps - 1 - back
        place = sequence * steps + t
        known = kept + place[:, None] * (7 * size) + one[None, :]
        take, keep = tl.load(known, mask, 0.0), tl.load(known + size, mask, 0.0)
        z, o = tl.load(known + 2 * size, mask, 0.0), tl.load(known + 3 * size, mask, 0.0)
        c, n = tl.load(known + 4 * size, mask, 0.0), tl.load(known + 5 * size, mask, 1.0)
        slope = tl.load(known + 6 * size, mask, 0.0)
        of_c, of_n = known - 3 * size, known - 2 * size
        if t == 0:
            of_c, of_n = c0 + ends, n0 + ends
        c_before, n_before = tl.load(of_c, mask, 0.0), tl.load(of_n, mask, 0.0)
        dh += tl.load(dy + place[:, None] * size + one[None, :], mask, 0.0)
        read = dh * o / n
        dopens = dh * (c / n) * o * (1 - o)
        dc += read
        dn -= read * (c / n)
        di = (dc * z + dn) * take
        df = (dc * c_before + dn * n_before) * keep * slope
        dz = dc * take * (1 - z * z)
        dc *= keep
        dn *= keep
        dh = heard(di, matrix, 0, 4, size, True, SIZE)
        dh += heard(df, matrix, 1, 4, size, True, SIZE)
        dh += heard(dz, matrix, 2, 4, size, True, SIZE)
        dh += heard(dopens, matrix, 3, 4, size, True, SIZE)
        drive = ddrives + place[:, None] * (4 * size) + one[None, :]
        tl.store(drive, di, mask)
        tl.store(drive + size, df, mask)
        tl.store(drive + 2 * size, dz, mask)
        tl.store(drive + 3 * size, dopens, mask)
    tl.store(dh0 + ends, dh, mask)
    tl.store(dc0 + ends, dc, mask)
    tl.store(dn0 + ends, dn, mask)
