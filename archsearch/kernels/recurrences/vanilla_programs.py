"""What a GPU does for a vanilla recurrence: one program for some rows of one head, all steps.

``drives``, ``y``, ``kept`` are (H, B, T, S), of which ``kept`` has what phi gave: ``y`` itself
without a leak. ``leak`` is (H, S), ``dleak`` (programs, H, S). State and slopes stay in registers,
the matrix (H, S, S) is read anew at every step.
"""

from __future__ import annotations

import triton
import triton.language as tl

from archsearch.kernels.recurrences.triton_functions import heard, tanh
from archsearch.kernels.recurrences.vanilla import SLOPE

BELOW = tl.constexpr(SLOPE)


@triton.jit
def forward_program(
    drives, matrix, leak, h0, y, kept, batch, steps, size,
    ACTIVATION: tl.constexpr, LEAKS: tl.constexpr, ROWS: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    one = tl.arange(0, SIZE)
    mask = (row < batch)[:, None] & (one < size)[None, :]
    matrix += head * size * size
    sequence = (head * batch + row).to(tl.int64)
    h = tl.load(h0 + sequence[:, None] * size + one[None, :], mask, 0.0)
    if LEAKS:
        share = tl.load(leak + head * size + one, one < size, 0.0)[None, :]
    for t in range(steps):
        at = (sequence * steps + t)[:, None] * size + one[None, :]
        new = tl.load(drives + at, mask, 0.0) + heard(h, matrix, 0, 1, size, False, SIZE)
        if ACTIVATION == "tanh":
            new = tanh(new)
        elif ACTIVATION == "relu":
            new = tl.where(new <= 0, 0.0, new)
        else:
            new = tl.where(new <= 0, BELOW * new, new)
        if LEAKS:
            tl.store(kept + at, new, mask)
            new = h + share * (new - h)
        h = new
        tl.store(y + at, h, mask)


@triton.jit
def backward_program(
    dy, matrix, leak, h0, y, kept, ddrives, dh0, dleak, heads, batch, steps, size,
    ACTIVATION: tl.constexpr, LEAKS: tl.constexpr, ROWS: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    head = tl.program_id(1)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    one = tl.arange(0, SIZE)
    mask = (row < batch)[:, None] & (one < size)[None, :]
    matrix += head * size * size
    sequence = (head * batch + row).to(tl.int64)
    ends = sequence[:, None] * size + one[None, :]
    dh = tl.zeros((ROWS, SIZE), tl.float32)
    if LEAKS:
        share = tl.load(leak + head * size + one, one < size, 0.0)[None, :]
        shares = tl.zeros((ROWS, SIZE), tl.float32)
    for back in range(steps):
        t = steps - 1 - back
        at = (sequence * steps + t)[:, None] * size + one[None, :]
        dh += tl.load(dy + at, mask, 0.0)
        new = tl.load(kept + at, mask, 0.0)
        slope = dh
        if LEAKS:
            source = y + at - size
            if t == 0:
                source = h0 + ends
            shares += dh * (new - tl.load(source, mask, 0.0))
            slope = share * dh
        if ACTIVATION == "tanh":
            slope *= 1 - new * new
        elif ACTIVATION == "relu":
            slope = tl.where(new > 0, slope, 0.0)
        else:
            slope = tl.where(new > 0, slope, BELOW * slope)
        tl.store(ddrives + at, slope, mask)
        came = heard(slope, matrix, 0, 1, size, True, SIZE)
        if LEAKS:
            came += (1 - share) * dh
        dh = came
    tl.store(dh0 + ends, dh, mask)
    if LEAKS:
        to = (tl.program_id(0) * heads + head) * size + one
        tl.store(dleak + to, tl.sum(shares, 0), one < size)
