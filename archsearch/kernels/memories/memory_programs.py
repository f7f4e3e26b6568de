"""What a GPU does for a matrix memory: one program per head of a sequence and block of columns."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def forward_program(
    q, k, v, decay, beta, first, out, kept, left,
    steps, heads, keys, values,
    EACH: tl.constexpr, FADES: tl.constexpr, OVERWRITES: tl.constexpr,
    KEYS: tl.constexpr, COLUMNS: tl.constexpr, STRETCH: tl.constexpr,
):  # fmt: skip
    """S_t = D_t S_{t-1} + k_t change_t', o_t = S_t' q_t; keeps S before every stretch."""
    row = (tl.program_id(0) // heads).to(tl.int64)
    head = tl.program_id(0) % heads
    key, value = tl.arange(0, KEYS), tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    is_key, is_value = key < keys, value < values
    inside = is_key[:, None] & is_value[None, :]
    tile = key[:, None] * values + value[None, :]
    held = (row * heads + head) * keys * values + tile
    stretches = (row * heads + head) * ((steps + STRETCH - 1) // STRETCH) * keys * values + tile
    memory = tl.load(first + held, inside, 0.0)  # (KEYS, COLUMNS)
    for t in range(steps):
        if t % STRETCH == 0:
            tl.store(kept + stretches + (t // STRETCH) * keys * values, memory, inside)
        at = (row * steps + t) * heads + head
        written = tl.load(k + at * keys + key, is_key, 0.0)
        change = tl.load(v + at * values + value, is_value, 0.0)
        if FADES == "apart":
            memory *= tl.load(decay + at * keys + key, is_key, 0.0)[:, None]
        elif FADES == "alike":
            memory *= tl.load(decay + at)
        if OVERWRITES:
            change = tl.load(beta + at) * (change - tl.sum(written[:, None] * memory, 0))
        memory += written[:, None] * change[None, :]
        if (t + 1) % EACH == 0:
            asked = (row * (steps // EACH) + t // EACH) * heads + head
            query = tl.load(q + asked * keys + key, is_key, 0.0)
            tl.store(out + asked * values + value, tl.sum(query[:, None] * memory, 0), is_value)
    tl.store(left + held, memory, inside)


@triton.jit
def backward_program(
    q, k, v, decay, beta, kept, dout, dleft, noted, dq, dk, dv, ddecay, dbeta, dfirst,
    rows, steps, heads, keys, values,
    EACH: tl.constexpr, FADES: tl.constexpr, OVERWRITES: tl.constexpr,
    KEYS: tl.constexpr, COLUMNS: tl.constexpr, STRETCH: tl.constexpr,
):  # fmt: skip
    """The slopes of the forward program; those that all columns share in one part per block."""
    row = (tl.program_id(0) // heads).to(tl.int64)
    head = tl.program_id(0) % heads
    block = tl.program_id(1).to(tl.int64)
    key, value = tl.arange(0, KEYS), block * COLUMNS + tl.arange(0, COLUMNS)
    is_key, is_value = key < keys, value < values
    inside = is_key[:, None] & is_value[None, :]
    tile = key[:, None] * values + value[None, :]
    held = (row * heads + head) * keys * values + tile
    # this program's own notes, and its part of each slope that is shared
    pad = key[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    own = (tl.program_id(0) * tl.num_programs(1) + block) * STRETCH * keys * COLUMNS + pad
    positions = rows * steps * heads
    slope = tl.load(dleft + held, inside, 0.0)  # of S_t
    count = (steps + STRETCH - 1) // STRETCH
    stretches = (row * heads + head) * count * keys * values + tile
    for part in range(count):
        begin = (count - 1 - part) * STRETCH
        length = tl.minimum(steps - begin, STRETCH)
        memory = tl.load(kept + stretches + (count - 1 - part) * keys * values, inside, 0.0)
        for i in range(length):
            tl.store(noted + own + i * keys * COLUMNS, memory, is_key[:, None])
            at = (row * steps + begin + i) * heads + head
            written = tl.load(k + at * keys + key, is_key, 0.0)
            change = tl.load(v + at * values + value, is_value, 0.0)
            if FADES == "apart":
                memory *= tl.load(decay + at * keys + key, is_key, 0.0)[:, None]
            elif FADES == "alike":
                memory *= tl.load(decay + at)
            if OVERWRITES:
                change = tl.load(beta + at) * (change - tl.sum(written[:, None] * memory, 0))
            memory += written[:, None] * change[None, :]
        tl.debug_barrier()
        for back in range(length):
            t = begin + length - 1 - back
            at = (row * steps + t) * heads + head
            before = tl.load(noted + own + (t - begin) * keys * COLUMNS, is_key[:, None], 0.0)
            written = tl.load(k + at * keys + key, is_key, 0.0)
            change = tl.load(v + at * values + value, is_value, 0.0)
            share = 1.0
            if FADES == "apart":
                share = tl.load(decay + at * keys + key, is_key, 0.0)[:, None]
            elif FADES == "alike":
                share = tl.load(decay + at)
            faded = before * share
            strength = 1.0
            if OVERWRITES:
                strength = tl.load(beta + at)
                missing = change - tl.sum(written[:, None] * faded, 0)
                change = strength * missing
            if (t + 1) % EACH == 0:
                asked = (row * (steps // EACH) + t // EACH) * heads + head
                query = tl.load(q + asked * keys + key, is_key, 0.0)
                wanted = tl.load(dout + asked * values + value, is_value, 0.0)
                after = faded + written[:, None] * change[None, :]
                shared = (block * (positions // EACH) + asked) * keys + key
                tl.store(dq + shared, tl.sum(after * wanted[None, :], 1), is_key)
                slope += query[:, None] * wanted[None, :]
            dchange = tl.sum(written[:, None] * slope, 0)
            dwritten = tl.sum(slope * change[None, :], 1)
            if OVERWRITES:
                tl.store(dbeta + block * positions + at, tl.sum(dchange * missing, 0))
                dchange *= strength
                dwritten -= tl.sum(faded * dchange[None, :], 1)
                slope -= written[:, None] * dchange[None, :]
            tl.store(dv + at * values + value, dchange, is_value)
            tl.store(dk + (block * positions + at) * keys + key, dwritten, is_key)
            if FADES == "apart":
                dshare = tl.sum(slope * before, 1)
                tl.store(ddecay + (block * positions + at) * keys + key, dshare, is_key)
            elif FADES == "alike":
                tl.store(ddecay + block * positions + at, tl.sum(tl.sum(slope * before, 1), 0))
            slope *= share
        tl.debug_barrier()
    tl.store(dfirst + held, slope, inside)
