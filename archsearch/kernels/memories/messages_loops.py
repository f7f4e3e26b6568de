"""The loops of messages between positions in single precision, one receiver at a time.

All messages to a position are made at once and go through each map as one small product of
matrices; none is kept. ``own`` (B, T, W), ``rows`` (B, S + T, W) and ``ages`` (R, W), the farthest
first, are what they are made of; ``biases`` is (M, W). ``masks`` (B, T, R, W / WIDTH) has, in bits,
which numbers of the last of the messages' stages are above zero. Of a position with fewer than R
before it, those from ``first`` on exist.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy import float32

from archsearch.kernels.compiled import compiled
from archsearch.kernels.inlined import inlined
from archsearch.kernels.lane_functions import positive_part
from archsearch.kernels.lane_masks import above_zero, where
from archsearch.kernels.lanes import WIDTH, fused, load, product, splat, store
from archsearch.kernels.projections.tile_products import add_products

contracted = partial(compiled, contracted=True)
ZERO, ONE = float32(0.0), float32(1.0)


@inlined
def _met(
    own: np.ndarray, at: int, rows: np.ndarray, place: int, ages: np.ndarray, first: int,
    reach: int, width: int, out: np.ndarray,
) -> None:  # fmt: skip
    """Write what a position makes of the rows from ``place`` on, rectified."""
    one = splat(ONE)
    for j in range(0, width, WIDTH):
        mine = load(own, at + j)
        for i in range(first * width + j, reach * width, width):
            met = fused(one, load(rows, place + i), fused(one, load(ages, i), mine))
            store(out, i, positive_part(met))


@inlined
def _mapped(
    source: np.ndarray, at: int, weights: np.ndarray, biases: np.ndarray, which: int, first: int,
    reach: int, width: int, out: np.ndarray, to: int,
) -> None:  # fmt: skip
    """Write what a map (W, W), transposed, makes of messages, not yet rectified."""
    for j in range(0, width, WIDTH):
        bias = load(biases, which * width + j)
        for i in range(first * width + j, reach * width, width):
            store(out, to + i, bias)
    skipped = first * width
    add_products(
        source, at + skipped, width, 1, weights, which * width * width, width,
        out, to + skipped, width, reach - first, width, width,
    )  # fmt: skip


@contracted
def forward(
    own: np.ndarray, rows: np.ndarray, ages: np.ndarray, weights: np.ndarray, biases: np.ndarray,
    masks: np.ndarray, y: np.ndarray,
) -> None:  # fmt: skip
    """``weights`` (M, W, W) are transposed; writes ``masks`` and ``y`` (B, T, W)."""
    batch, steps, width = own.shape
    reach, maps, past = len(ages), len(weights), rows.shape[1] - steps
    stages, one = np.zeros(2 * reach * width, float32), splat(ONE)
    few = width // WIDTH
    mine, others, shifts, bits = own.ravel(), rows.ravel(), ages.ravel(), masks.ravel()
    matrices, added, means = weights.ravel(), biases.ravel(), y.ravel()
    for row in range(batch):
        for t in range(steps):
            begin = past + t + 1 - reach
            first = max(-begin, 0)
            at = (row * steps + t) * width
            place = (row * rows.shape[1] + begin) * width
            _met(mine, at, others, place, shifts, first, reach, width, stages)
            here = 0
            for which in range(maps):
                there = reach * width - here
                _mapped(stages, here, matrices, added, which, first, reach, width, stages, there)
                if which < maps - 1:
                    for i in range(there + first * width, there + reach * width, WIDTH):
                        store(stages, i, positive_part(load(stages, i)))
                here = there
            part = splat(ONE / float32(reach - first))
            for j in range(few):
                sums = splat(ZERO)
                for i in range(first, reach):
                    message = load(stages, here + i * width + j * WIDTH)
                    bits[((row * steps + t) * reach + i) * few + j] = above_zero(message)
                    sums = fused(one, positive_part(message), sums)
                store(means, at + j * WIDTH, product(part, sums))


@contracted
def backward(
    dy: np.ndarray, own: np.ndarray, rows: np.ndarray, ages: np.ndarray, weights: np.ndarray,
    turned: np.ndarray, biases: np.ndarray, masks: np.ndarray, down: np.ndarray,
    drows: np.ndarray, dages: np.ndarray, dweights: np.ndarray, dbiases: np.ndarray,
) -> None:  # fmt: skip
    """``turned`` (M, W, W) are as they are. Writes ``down`` (B, T, W) of ``own`` and adds to the
    arrays after it: (B, S + T, W), (B, R, W), and (B, M, W, W) transposed and (B, M, W) of maps.
    """
    batch, steps, width = own.shape
    reach, maps, past = len(ages), len(weights), rows.shape[1] - steps
    block, few = reach * width, width // WIDTH
    stages = np.zeros(max(maps, 1) * block, float32)
    slopes, passed, one = np.zeros(block, float32), np.zeros(block, float32), splat(ONE)
    mine, others, shifts, bits = own.ravel(), rows.ravel(), ages.ravel(), masks.ravel()
    matrices, back, added, given = weights.ravel(), turned.ravel(), biases.ravel(), dy.ravel()
    of_own, of_rows, of_ages = down.ravel(), drows.ravel(), dages.ravel()
    of_weights, of_biases = dweights.ravel(), dbiases.ravel()
    for row in range(batch):
        for t in range(steps):
            begin = past + t + 1 - reach
            first = max(-begin, 0)
            skipped, at = first * width, (row * steps + t) * width
            place = (row * rows.shape[1] + begin) * width
            _met(mine, at, others, place, shifts, first, reach, width, stages)
            for which in range(maps - 1):
                there = (which + 1) * block
                _mapped(
                    stages, which * block, matrices, added, which, first, reach, width,
                    stages, there,
                )  # fmt: skip
                for i in range(there + skipped, there + block, WIDTH):
                    store(stages, i, positive_part(load(stages, i)))
            part = splat(ONE / float32(reach - first))
            for j in range(few):
                slope = product(part, load(given, at + j * WIDTH))
                for i in range(first, reach):
                    bit = bits[((row * steps + t) * reach + i) * few + j]
                    store(slopes, i * width + j * WIDTH, where(bit, slope))
            for which in range(maps - 1, -1, -1):
                own_map = row * maps + which
                for j in range(0, width, WIDTH):
                    sums, bias = splat(ZERO), own_map * width + j
                    for i in range(skipped + j, block, width):
                        sums = fused(one, load(slopes, i), sums)
                    store(of_biases, bias, fused(one, sums, load(of_biases, bias)))
                add_products(
                    stages, which * block + skipped, 1, width, slopes, skipped, width,
                    of_weights, own_map * width * width, width, width, reach - first, width,
                )  # fmt: skip
                passed[:] = ZERO
                add_products(
                    slopes, skipped, width, 1, back, which * width * width, width,
                    passed, skipped, width, reach - first, width, width,
                )  # fmt: skip
                for i in range(skipped, block, WIDTH):
                    reached = above_zero(load(stages, which * block + i))
                    store(slopes, i, where(reached, load(passed, i)))
            for j in range(0, width, WIDTH):
                sums = splat(ZERO)
                for i in range(skipped + j, block, width):
                    slope = load(slopes, i)
                    sums = fused(one, slope, sums)
                    store(of_rows, place + i, fused(one, slope, load(of_rows, place + i)))
                    total = row * block + i
                    store(of_ages, total, fused(one, slope, load(of_ages, total)))
                store(of_own, at + j, sums)
