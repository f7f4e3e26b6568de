"""A stretch of positions inside one chunk, backward: the slopes of what sixteen memories learn.

Laid out as in :mod:`archsearch.kernels.memories.descent.descent_products`. The matrices of all
positions are computed again, some rows and columns at a time, as many as stay near.
"""

from __future__ import annotations

import numpy as np

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.memories.descent.descent_products import (
    ROWS,
    ZEROS,
    copy,
    dot,
    scale,
    with_base,
)
from archsearch.kernels.memories.descent.descent_retention import cube_share, shrinkage, spread
from archsearch.kernels.memories.descent.descent_steps import (
    KEEP,
    RATES,
    STEP,
    SWING,
    advance,
)
from archsearch.kernels.tiles import (
    columns,
    fused,
    less,
    lessened,
    load,
    plus,
    product,
    store,
    summed,
)

NEAR = 16  # columns


@inlined
def retrace(
    trace: np.ndarray, speed_trace: np.ndarray, wide: int, near: np.ndarray, rates: np.ndarray,
    rates_at: int, errors: np.ndarray, at: int, apart: int, count: int, moving: int,
) -> None:  # fmt: skip
    """Some rows and columns after each of ``count`` positions, given those before the first."""
    for t in range(count):
        advance(
            trace, speed_trace, t * ROWS * wide, wide, trace, speed_trace, (t + 1) * ROWS * wide,
            wide, near, t * wide, wide, rates, rates_at + t * RATES, errors, at + t * apart, moving,
        )  # fmt: skip


@inlined
def unwind(
    trace: np.ndarray, speed_trace: np.ndarray, slopes: np.ndarray, speed_slopes: np.ndarray,
    to: int, span: int, wide: int, near: np.ndarray, dout: np.ndarray, out: np.ndarray, said: int,
    masses: np.ndarray, most: int, cubes: np.ndarray, rates: np.ndarray, drates: np.ndarray,
    rates_at: int, errors: np.ndarray, derrors: np.ndarray, first: int, rows: int, count: int,
    moving: int, norm: int, spreads: int,
) -> None:  # fmt: skip
    """From the slopes of some rows and columns after the last position to those before the first.

    On the way those of x and of the keys, the rates and the errors that they learned from.
    """
    part = count * wide
    for t in range(count - 1, -1, -1):
        after, place, rate = (t + 1) * ROWS * wide, first + t * rows * WIDTH, rates_at + t * RATES
        x, learned, before = part + t * wide, t * wide, t * ROWS * wide
        dx, dkey = 3 * part + t * wide, 2 * part + t * wide
        slope = load(dout, place, WIDTH, ROWS, WIDTH)
        if spreads:
            mean = load(out, said + place, WIDTH, ROWS, WIDTH)
            top = load(masses, most + 2 * t * rows * WIDTH, WIDTH, ROWS, WIDTH)
            share = load(masses, most + (2 * t + 1) * rows * WIDTH, WIDTH, ROWS, WIDTH)
            for j in range(0, wide, WIDTH):
                weight = spread(load(trace, after + j, wide, ROWS, WIDTH), top, share)
                pushed, now = product(slope, weight), load(slopes, to + j, span, ROWS, WIDTH)
                off = less(load(near, x + j, 0, 1, WIDTH), mean)
                store(slopes, to + j, span, fused(pushed, off, now))
                store(near, dx + j, 0, plus(load(near, dx + j, 0, 1, WIDTH), summed(pushed)))
        else:
            for j in range(0, wide, WIDTH):
                here, now = load(near, x + j, 0, 1, WIDTH), load(slopes, to + j, span, ROWS, WIDTH)
                pushed = summed(product(slope, load(trace, after + j, wide, ROWS, WIDTH)))
                store(slopes, to + j, span, fused(slope, here, now))
                store(near, dx + j, 0, plus(load(near, dx + j, 0, 1, WIDTH), pushed))
        if norm > 2:
            factor = load(cubes, (t + 1) * WIDTH, 0, 1, WIDTH)
            for j in range(0, wide, WIDTH):
                one = load(trace, after + j, wide, ROWS, WIDTH)
                now = load(slopes, to + j, span, ROWS, WIDTH)
                store(slopes, to + j, span, fused(factor, product(product(one, one), one), now))
        step, keep = load(rates, rate + STEP, 0, 1, WIDTH), load(rates, rate + KEEP, 0, 1, WIDTH)
        error = load(errors, place, WIDTH, ROWS, WIDTH)
        by, reached = product(step, error), columns(ZEROS, 0, ROWS, WIDTH)
        kept, swung = columns(ZEROS, 0, ROWS, WIDTH), columns(ZEROS, 0, ROWS, WIDTH)
        if moving:
            swing = load(rates, rate + SWING, 0, 1, WIDTH)
            for j in range(0, wide, WIDTH):
                one, key = (
                    load(slopes, to + j, span, ROWS, WIDTH),
                    load(near, learned + j, 0, 1, WIDTH),
                )
                both = plus(one, load(speed_slopes, to + j, span, ROWS, WIDTH))
                kept = fused(one, load(trace, before + j, wide, ROWS, WIDTH), kept)
                swung = fused(both, load(speed_trace, before + j, wide, ROWS, WIDTH), swung)
                reached = fused(both, key, reached)
                now = less(load(near, dkey + j, 0, 1, WIDTH), summed(product(by, both)))
                store(slopes, to + j, span, product(keep, one))
                store(speed_slopes, to + j, span, product(swing, both))
                store(near, dkey + j, 0, now)
            now = load(drates, rate + SWING, 0, 1, WIDTH)
            store(drates, rate + SWING, 0, plus(now, summed(swung)))
        else:
            for j in range(0, wide, WIDTH):
                one = load(slopes, to + j, span, ROWS, WIDTH)
                kept = fused(one, load(trace, before + j, wide, ROWS, WIDTH), kept)
                store(slopes, to + j, span, product(keep, one))
                reached = fused(one, load(near, learned + j, 0, 1, WIDTH), reached)
                pushed = summed(product(by, one))
                store(near, dkey + j, 0, less(load(near, dkey + j, 0, 1, WIDTH), pushed))
        so_far = load(derrors, place, WIDTH, ROWS, WIDTH)
        store(derrors, place, WIDTH, lessened(step, reached, so_far))
        asked = summed(product(reached, error))
        store(drates, rate + STEP, 0, less(load(drates, rate + STEP, 0, 1, WIDTH), asked))
        now = load(drates, rate + KEEP, 0, 1, WIDTH)
        store(drates, rate + KEEP, 0, plus(now, summed(kept)))


@inlined
def unlearn(
    memory: np.ndarray, speeds: np.ndarray, old: int, base: np.ndarray, base_at: int,
    lefts: np.ndarray, stand: int, slopes: np.ndarray, speed_slopes: np.ndarray, begin: int,
    rows: int, span: int, errors: np.ndarray, derrors: np.ndarray, keys: np.ndarray, keys_at: int,
    dkeys: np.ndarray, dkeys_at: int, x: np.ndarray, x_at: int, dx: np.ndarray, dx_at: int,
    rates: np.ndarray, drates: np.ndarray, rates_at: int, count: int, moving: int, norm: int,
    spreads: int, trace: np.ndarray, speed_trace: np.ndarray, powers: np.ndarray, powers_at: int,
    masses: np.ndarray, masses_at: int, out: np.ndarray, out_at: int, dout: np.ndarray,
    cubes: np.ndarray, near: np.ndarray,
) -> None:  # fmt: skip
    """The slopes of a matrix after the stretch, at ``begin``, become those before it.

    Those of keys and x are written, of errors and rates added to. ``trace`` and ``speed_trace``
    have room for ``NEAR`` columns of ``ROWS`` rows at ``count`` + 1 positions, ``near`` for as many
    of the keys, of x and of their slopes, ``cubes`` for ``count`` + 1 numbers; ``dout`` is spoilt.
    """
    if norm > 2:
        for t in range(count):
            power, there = powers_at + 2 * t * WIDTH, t * rows * WIDTH
            inner = dot(out, out_at + there, dout, there, rows * WIDTH)
            store(cubes, (t + 1) * WIDTH, 0, cube_share(powers, power, inner, cubes))
            shrinkage(powers, power, cubes)
            scale(dout, there, load(cubes, 0, 0, 1, WIDTH), rows * WIDTH)
    for column in range(0, span, NEAR * WIDTH):
        wide = min(NEAR * WIDTH, span - column)
        part = count * wide
        for t in range(count):
            here, far = t * wide, t * span + column
            copy(keys, keys_at + far, near, here, wide)
            copy(x, x_at + far, near, part + here, wide)
        near[2 * part : 4 * part] = 0
        for i in range(0, rows, ROWS):
            row = i * span + column
            for r in range(ROWS):
                here = row + r * span
                with_base(
                    memory, old + here, base, base_at + here, lefts, stand, trace, r * wide, wide
                )
                if moving:
                    copy(speeds, old + row + r * span, speed_trace, r * wide, wide)
            place = i * WIDTH
            retrace(
                trace, speed_trace, wide, near, rates, rates_at, errors, place, rows * WIDTH, count,
                moving,
            )  # fmt: skip
            unwind(
                trace, speed_trace, slopes, speed_slopes, begin + row, span, wide, near, dout, out,
                out_at, masses, masses_at + place, cubes, rates, drates, rates_at, errors, derrors,
                place, rows, count, moving, norm, spreads,
            )  # fmt: skip
        for t in range(count):
            here, far = t * wide, t * span + column
            copy(near, 2 * part + here, dkeys, dkeys_at + far, wide)
            copy(near, 3 * part + here, dx, dx_at + far, wide)
