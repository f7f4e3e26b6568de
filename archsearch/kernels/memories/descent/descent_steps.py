"""A stretch of positions inside one chunk, forward: what sixteen memories learn and answer.

Laid out as in :mod:`archsearch.kernels.memories.descent.descent_products`. A memory is read and
written some rows at a time, at all positions of the stretch while the rows are near.
"""

from __future__ import annotations

import numpy as np

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.memories.descent.descent_products import ROWS, ZEROS, scale
from archsearch.kernels.memories.descent.descent_retention import measure, shrinkage, spread
from archsearch.kernels.tiles import columns, fused, lessened, load, plus, product, store, summed

# of a position: theta, alpha, eta and the bound of the loss
RATES, STEP, KEEP, SWING, BOUND = 4 * WIDTH, 0, WIDTH, 2 * WIDTH, 3 * WIDTH


@inlined
def advance(
    old: np.ndarray, old_speed: np.ndarray, at: int, apart: int, new: np.ndarray,
    new_speed: np.ndarray, to: int, new_apart: int, keys: np.ndarray, keys_at: int, span: int,
    rates: np.ndarray, rate: int, errors: np.ndarray, place: int, moving: int,
) -> None:  # fmt: skip
    """S = eta S - theta e k' and A = alpha A + S, of some rows; without momentum there is no S."""
    keep = load(rates, rate + KEEP, 0, 1, WIDTH)
    by = product(load(rates, rate + STEP, 0, 1, WIDTH), load(errors, place, WIDTH, ROWS, WIDTH))
    if moving:
        swing = load(rates, rate + SWING, 0, 1, WIDTH)
        for j in range(0, span, WIDTH):
            carried = product(swing, load(old_speed, at + j, apart, ROWS, WIDTH))
            kept = load(old, at + j, apart, ROWS, WIDTH)
            speed = lessened(by, load(keys, keys_at + j, 0, 1, WIDTH), carried)
            store(new_speed, to + j, new_apart, speed)
            store(new, to + j, new_apart, fused(keep, kept, speed))
    else:
        for j in range(0, span, WIDTH):
            kept = product(keep, load(old, at + j, apart, ROWS, WIDTH))
            key = load(keys, keys_at + j, 0, 1, WIDTH)
            store(new, to + j, new_apart, lessened(by, key, kept))


@inlined
def learn(
    memory: np.ndarray, speeds: np.ndarray, old: int, new: int, rows: int, span: int,
    base: np.ndarray, base_at: int, left: np.ndarray, errors: np.ndarray, keys: np.ndarray,
    keys_at: int, x: np.ndarray, x_at: int, rates: np.ndarray, rates_at: int, count: int,
    moving: int, norm: int, spreads: int, near: np.ndarray, powers: np.ndarray, powers_at: int,
    masses: np.ndarray, masses_at: int, out: np.ndarray, out_at: int,
) -> None:  # fmt: skip
    """``out`` is what a matrix answers to ``x`` after each position's error.

    B before lies at ``old``, that after is written to ``new``; A is more by ``left`` (T, C) times
    ``base``. ``near`` has room for ``ROWS`` rows. Of a position ``powers`` keeps a sum of fourth
    powers, ``masses`` what :func:`.descent_retention.measure` finds.
    """
    if norm > 2:
        for t in range(count):
            store(powers, powers_at + 2 * t * WIDTH, 0, columns(ZEROS, 0, 1, WIDTH))
    for i in range(0, rows, ROWS):
        at, to = old + i * span, new + i * span
        for t in range(count):
            place, key, there = (t * rows + i) * WIDTH, keys_at + t * span, x_at + t * span
            advance(
                memory, speeds, at, span, memory, speeds, to, span, keys, key, span, rates,
                rates_at + t * RATES, errors, place, moving,
            )  # fmt: skip
            at, sums = to, columns(ZEROS, 0, ROWS, WIDTH)
            share = load(left, t * WIDTH, 0, 1, WIDTH)
            for j in range(0, span, WIDTH):
                part = load(base, base_at + i * span + j, span, ROWS, WIDTH)
                now = fused(share, part, load(memory, to + j, span, ROWS, WIDTH))
                store(near, j, span, now)
            if spreads:
                most_at = masses_at + (2 * t * rows + i) * WIDTH
                part_at = most_at + rows * WIDTH
                measure(near, 0, span, masses, most_at, masses, part_at)
                most = load(masses, most_at, WIDTH, ROWS, WIDTH)
                part = load(masses, part_at, WIDTH, ROWS, WIDTH)
                for j in range(0, span, WIDTH):
                    weight = spread(load(near, j, span, ROWS, WIDTH), most, part)
                    sums = fused(weight, load(x, there + j, 0, 1, WIDTH), sums)
            else:
                for j in range(0, span, WIDTH):
                    weight = load(near, j, span, ROWS, WIDTH)
                    sums = fused(weight, load(x, there + j, 0, 1, WIDTH), sums)
            store(out, out_at + place, WIDTH, sums)
            if norm > 2:
                sums = columns(ZEROS, 0, ROWS, WIDTH)
                for j in range(0, span, WIDTH):
                    here = load(near, j, span, ROWS, WIDTH)
                    square = product(here, here)
                    sums = fused(square, square, sums)
                power = powers_at + 2 * t * WIDTH
                store(powers, power, 0, plus(load(powers, power, 0, 1, WIDTH), summed(sums)))
    if norm > 2:
        for t in range(count):
            shrinkage(powers, powers_at + 2 * t * WIDTH, near)
            factor, there = load(near, 0, 0, 1, WIDTH), out_at + t * rows * WIDTH
            scale(out, there, factor, rows * WIDTH)
