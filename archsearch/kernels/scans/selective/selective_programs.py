"""What a GPU does for a selective scan: one program for some channels of one sequence, all steps.

Arrays as in :mod:`.selective_scan`; ``before`` (B, stretches, E, N) has the memories before each
``STRETCH`` steps, from which the way back makes those between, into ``states``
(B, STRETCH, E, N). What many programs add to is written by each: ``dwrite`` and ``dread``
(B, programs, T, N), ``drate`` (B, E, N). A factor lies between ``LOWEST`` and one.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _after(h, factors, delta, u, write, at, far, is_unit, is_key, LOWEST: tl.constexpr):
    """The memory after a step, the factor it was kept by, and what the step was given."""
    step, value = tl.load(delta + at, is_unit, 0.0), tl.load(u + at, is_unit, 0.0)
    key = tl.load(write + far, is_key, 0.0)
    fade = (1.0 - LOWEST) * tl.exp(-step[:, None] * factors) + LOWEST
    return fade * h + (step * value)[:, None] * key[None, :], fade, step, value, key


@triton.jit
def forward_program(
    delta, u, write, read, rate, memory, y, left, before, steps, width, keys,
    STRETCH: tl.constexpr, UNITS: tl.constexpr, SIZE: tl.constexpr, LOWEST: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    unit = tl.program_id(1) * UNITS + tl.arange(0, UNITS)
    one = tl.arange(0, SIZE)
    is_unit, is_key = unit < width, one < keys
    mask = is_unit[:, None] & is_key[None, :]
    own = unit[:, None] * keys + one[None, :]
    factors = tl.load(rate + own, mask, 0.0)
    h = tl.load(memory + row * width * keys + own, mask, 0.0)
    stretches = tl.cdiv(steps, STRETCH)
    for t in range(steps):
        if t % STRETCH == 0:
            kept = (row * stretches + t // STRETCH) * width * keys
            tl.store(before + kept + own, h, mask)
        at = (row * steps + t) * width + unit
        far = (row * steps + t) * keys + one
        h, _, _, _, _ = _after(h, factors, delta, u, write, at, far, is_unit, is_key, LOWEST)
        query = tl.load(read + far, is_key, 0.0)
        tl.store(y + at, tl.sum(h * query[None, :], 1), is_unit)
    tl.store(left + row * width * keys + own, h, mask)


@triton.jit
def backward_program(
    delta, u, write, read, rate, before, states, dy, dleft,
    ddelta, du, dwrite, dread, drate, dmemory, steps, width, keys,
    STRETCH: tl.constexpr, UNITS: tl.constexpr, SIZE: tl.constexpr, LOWEST: tl.constexpr,
):  # fmt: skip
    row, block = tl.program_id(0).to(tl.int64), tl.program_id(1)
    unit = block * UNITS + tl.arange(0, UNITS)
    one = tl.arange(0, SIZE)
    is_unit, is_key = unit < width, one < keys
    mask = is_unit[:, None] & is_key[None, :]
    own = unit[:, None] * keys + one[None, :]
    whole = row * width * keys
    factors = tl.load(rate + own, mask, 0.0)
    dh = tl.load(dleft + whole + own, mask, 0.0)
    dfactors = tl.zeros((UNITS, SIZE), tl.float32)
    stretches = tl.cdiv(steps, STRETCH)
    for back in range(stretches):
        stretch = stretches - 1 - back
        begin = stretch * STRETCH
        count = tl.minimum(STRETCH, steps - begin)
        h = tl.load(before + (row * stretches + stretch) * width * keys + own, mask, 0.0)
        for i in range(count):
            tl.store(states + (row * STRETCH + i) * width * keys + own, h, mask)
            at = (row * steps + begin + i) * width + unit
            far = (row * steps + begin + i) * keys + one
            h, _, _, _, _ = _after(h, factors, delta, u, write, at, far, is_unit, is_key, LOWEST)
        # what one thread wrote another may read
        tl.debug_barrier()
        for i in range(count):
            t = begin + count - 1 - i
            at = (row * steps + t) * width + unit
            far = (row * steps + t) * keys + one
            old = tl.load(states + (row * STRETCH + t - begin) * width * keys + own, mask, 0.0)
            h, fade, step, value, key = _after(
                old, factors, delta, u, write, at, far, is_unit, is_key, LOWEST
            )
            slope = tl.load(dy + at, is_unit, 0.0)
            query = tl.load(read + far, is_key, 0.0)
            part = ((row * tl.num_programs(1) + block) * steps + t) * keys + one
            tl.store(dread + part, tl.sum(slope[:, None] * h, 0), is_key)
            dh += slope[:, None] * query[None, :]
            tl.store(dwrite + part, tl.sum(dh * (step * value)[:, None], 0), is_key)
            dadded = tl.sum(dh * key[None, :], 1)
            tl.store(du + at, step * dadded, is_unit)
            # of the exponent, -delta rate, which all of a factor above the lowest is made of
            dpower = dh * (fade - LOWEST) * old
            dh *= fade
            tl.store(ddelta + at, value * dadded - tl.sum(dpower * factors, 1), is_unit)
            dfactors -= dpower * step[:, None]
        tl.debug_barrier()
    tl.store(dmemory + whole + own, dh, mask)
    tl.store(drate + whole + own, dfactors, mask)
