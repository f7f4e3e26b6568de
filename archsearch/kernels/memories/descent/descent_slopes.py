"""The loop back through memories that learn, chunk after chunk from the last.

Arrays as in :mod:`archsearch.kernels.memories.descent.descent_loops`.
"""

from __future__ import annotations

import numpy as np

from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.memories.descent.descent_errors import activate, error_of, error_slope
from archsearch.kernels.memories.descent.descent_loops import contracted
from archsearch.kernels.memories.descent.descent_products import (
    ROWS,
    add,
    add_outer,
    blank,
    copy,
    multiply,
    multiply_turned,
    pull,
    subtract,
    times,
    with_base,
)
from archsearch.kernels.memories.descent.descent_retention import retain, unretain
from archsearch.kernels.memories.descent.descent_steps import BOUND, RATES
from archsearch.kernels.memories.descent.descent_traces import NEAR, unlearn


@contracted
def backward(
    dy: np.ndarray, q: np.ndarray, k: np.ndarray, rates: np.ndarray, anchor: np.ndarray,
    base: np.ndarray, memory: np.ndarray, speeds: np.ndarray, difference: np.ndarray,
    answer: np.ndarray, hidden: np.ndarray, asked: np.ndarray, powers: np.ndarray,
    masses: np.ndarray, lefts: np.ndarray, dmiddle: np.ndarray, dmemory: np.ndarray,
    dspeeds: np.ndarray, dq: np.ndarray, dk: np.ndarray, dv: np.ndarray, drates: np.ndarray,
    danchor: np.ndarray, sizes: np.ndarray,
) -> None:  # fmt: skip
    """``dmemory`` and ``dspeeds`` (G, N, C) are of the last memory, then of the first.

    ``dmiddle`` (G, N, C) is of the memory before the stretch that ``sizes`` names last. All other
    slopes are zero at first.
    """
    groups, steps, size = q.shape[:3]
    inner, chunk, offset, moving, p, outliers, norm, spreads, border = sizes
    bounded, narrow, wide = inner > 0 or p > 2, size * WIDTH, inner * WIDTH
    whole, stretches, most = memory.shape[2] * WIDTH, memory.shape[1], min(chunk, steps)
    layers, second = 2 if inner > 0 else 1, inner * narrow
    whole_of, basis, shares = blank(memory.shape[2]), base.ravel(), lefts.ravel()
    weights, dweights, room = blank(memory.shape[2]), blank(memory.shape[2]), blank(2 * ROWS)
    area, near = (most + 1) * ROWS * NEAR, blank(4 * most * NEAR)
    trace, speed_trace, cubes = blank(area), blank(area * moving), blank(most + 1)
    long, dbound = blank(most), blank(1)
    errors, derrors, dout = blank(most * size), blank(most * size), blank(most * size)
    active, slope, bend = blank(most * inner), blank(most * inner), blank(most * inner)
    hot, steep, spare = blank(most * inner), blank(most * inner), blank(most * inner)
    reach, pushes = blank(most * inner), blank(most * inner)
    dactive, dhot, dpushes = blank(most * inner), blank(most * inner), blank(most * inner)
    asks, keys, told, given = q.ravel(), k.ravel(), rates.ravel(), dy.ravel()
    held, swung, anchors = memory.ravel(), speeds.ravel(), anchor.ravel()
    sums, mass = powers.ravel(), masses.ravel()
    apart, said, hid, sought = difference.ravel(), answer.ravel(), hidden.ravel(), asked.ravel()
    dheld, dswung = dmemory.ravel(), dspeeds.ravel()
    dmid, danchors = dmiddle.ravel(), danchor.ravel()
    dasks, dkeys, dvalues, dtold = dq.ravel(), dk.ravel(), dv.ravel(), drates.ravel()
    for g in range(groups):
        end, start = steps, g * whole
        for place in range(stretches - 2, -1, -1):
            if place + 1 == border:
                add(dmid, start, dheld, start, whole)
            begin = max(0, (offset + end - 1) // chunk * chunk - offset)
            count = end - begin
            first, old = g * steps + begin, (g * stretches + place) * whole
            at, in_at, rate = first * narrow, first * wide, first * RATES
            till, length = count * wide, count * narrow
            stand = (g * stretches + place) * WIDTH
            if place == 0:
                copy(anchors, start, whole_of, 0, whole)
            else:
                with_base(held, old, basis, start, shares, stand, whole_of, 0, whole)
            for layer in range(layers):
                rows, span = size if layer == layers - 1 else inner, wide if layer else narrow
                retain(whole_of, 0, rows, span, norm, spreads, room, weights, layer * second)
            for t in range(count):
                bound, here = rate + t * RATES + BOUND, at + t * narrow
                error_of(
                    apart[here : here + narrow], told[bound : bound + WIDTH], p, outliers, bounded,
                    room, errors[t * narrow : (t + 1) * narrow], long[t * WIDTH : (t + 1) * WIDTH],
                )  # fmt: skip
            copy(given, at, dout, 0, length)
            derrors[:length] = 0
            dweights[:] = 0
            if inner > 0:
                activate(hid[in_at : in_at + till], active[:till], slope[:till], bend[:till])
                activate(sought[in_at : in_at + till], hot[:till], steep[:till], spare[:till])
                reach[:till] = 0
                dpushes[:till] = 0
                multiply_turned(weights, second, size, wide, errors, count, reach)
                times(pushes, reach, slope, till)
            for layer in range(layers - 1, -1, -1):
                rows, span = size if layer == layers - 1 else inner, wide if layer else narrow
                moved, dmoved = (errors, derrors) if layer == layers - 1 else (pushes, dpushes)
                learned, dlearned, from_ = (active, dactive, 0) if layer else (keys, dkeys, at)
                heard, dheard, where = (hot, dhot, 0) if layer else (asks, dasks, at)
                told_to, there = (said, at) if layer == layers - 1 else (sought, in_at)
                asked_for = dout if layer == layers - 1 else dhot
                to = layer * second
                unlearn(
                    held, swung, old + to, basis, start + to, shares, stand, dheld, dswung,
                    start + to, rows, span, moved, dmoved, learned, from_, dlearned, from_, heard,
                    where, dheard, where, told, dtold, rate, count, moving, norm, spreads, trace,
                    speed_trace, sums, (2 * first + layer) * WIDTH, mass,
                    2 * (layer * groups * steps * inner + first * rows) * WIDTH, told_to, there,
                    asked_for, cubes, near,
                )  # fmt: skip
                if layer:
                    times(dhot, dhot, steep, till)
            if inner > 0:
                add(given, at, dasks, at, length)
                # from here on those of W_2' e, and of W_1 k
                times(dhot, dpushes, slope, till)
                times(spare, dpushes, reach, till)
                times(spare, spare, bend, till)
                multiply(weights, second, size, wide, dhot, 0, count, dout, 0)
                add(dout, 0, derrors, 0, length)
                add_outer(errors, dhot, size, wide, count, dweights, second)
            for t in range(count):
                bound, here = rate + t * RATES + BOUND, at + t * narrow
                error_slope(
                    apart[here : here + narrow], told[bound : bound + WIDTH], p, outliers, bounded,
                    room, errors[t * narrow : (t + 1) * narrow], long[t * WIDTH : (t + 1) * WIDTH],
                    derrors[t * narrow : (t + 1) * narrow], dbound,
                )  # fmt: skip
                copy(dbound, 0, dtold, bound, WIDTH)
            subtract(derrors, 0, dvalues, at, length)
            if inner > 0:
                add(derrors, 0, dkeys, at, length)
            for layer in range(layers - 1, -1, -1):
                rows, span = size if layer == layers - 1 else inner, wide if layer else narrow
                learned, dlearned, from_ = (active, dactive, 0) if layer else (keys, dkeys, at)
                back = derrors if layer == layers - 1 else spare
                to = layer * second
                pull(
                    weights, dweights, to, rows, span, learned, from_, dlearned, from_, count, back,
                )  # fmt: skip
                if layer:
                    times(dactive, dactive, slope, till)
                    add(dactive, 0, spare, 0, till)
                target = danchors if place == 0 else dheld
                unretain(
                    whole_of, 0, rows, span, norm, spreads, room, weights, dweights, to, target,
                    start,
                )  # fmt: skip
            end = begin
