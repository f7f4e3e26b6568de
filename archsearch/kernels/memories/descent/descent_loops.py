"""The loop of memories that learn, sixteen of them side by side, chunk after chunk.

Arrays, C = ``WIDTH`` lanes: ``q``, ``k``, ``v`` (G, T, d, C) are of G groups of memories, ``rates``
(G, T, 4, C) are theta, alpha, eta and the bound. A memory's matrices lie one after the other, N
numbers: ``anchor`` (G, N, C), A_0 as ``base`` (G, N, C), and A less what is left of A_0 as
``memory`` (G, S + 1, N, C) before each of the S stretches of
positions that lie in one chunk and after the last, ``speeds`` as many with momentum, else none.
``lefts`` (G, S + 1, C) is what is left of A_0 there.
Kept are ``difference``, M(k) - v, and ``answer``, what the last matrix says (G, T, d, C), and of a
network ``hidden`` and ``asked`` (G, T, h, C), the first matrix times k and times q; ``powers``
(G, T, 2, C) are sums of fourth powers, ``masses`` what the softmax of rows divides by, of all
positions' first matrices, then of their second. ``sizes`` has h (0 of one matrix), the chunk, how
many positions of it have passed, whether there is momentum, and p, outliers, q, spread of
:class:`archsearch.kernels.memories.descent.descent_rule.Rule`.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.memories.descent.descent_errors import activate, error_of
from archsearch.kernels.memories.descent.descent_products import (
    ROWS,
    add,
    blank,
    copy,
    multiply,
    multiply_turned,
    subtract,
    times,
    with_base,
)
from archsearch.kernels.memories.descent.descent_retention import retain
from archsearch.kernels.memories.descent.descent_steps import BOUND, KEEP, RATES, learn
from archsearch.kernels.tiles import load, product, store

contracted = partial(compiled, contracted=True)


@contracted
def forward(
    q: np.ndarray, k: np.ndarray, v: np.ndarray, rates: np.ndarray, anchor: np.ndarray,
    base: np.ndarray, memory: np.ndarray, speeds: np.ndarray, difference: np.ndarray,
    answer: np.ndarray, hidden: np.ndarray, asked: np.ndarray, powers: np.ndarray,
    masses: np.ndarray, lefts: np.ndarray, y: np.ndarray, sizes: np.ndarray,
) -> None:  # fmt: skip
    """``y`` (G, T, d, C); of ``memory`` and ``speeds`` what is before the first is given."""
    groups, steps, size = q.shape[:3]
    inner, chunk, offset, moving, p, outliers, norm, spreads = sizes[:8]
    bounded, narrow, wide = inner > 0 or p > 2, size * WIDTH, inner * WIDTH
    whole, stretches, most = memory.shape[2] * WIDTH, memory.shape[1], min(chunk, steps)
    layers = 2 if inner > 0 else 1
    weights, whole_of = blank(memory.shape[2]), blank(memory.shape[2])
    room, near, left = blank(2 * ROWS), blank(ROWS * max(size, inner)), blank(most)
    long, errors = blank(1), blank(most * size)
    active, pushes, spare = blank(most * inner), blank(most * inner), blank(most * inner)
    asks, keys, values, told = q.ravel(), k.ravel(), v.ravel(), rates.ravel()
    held, swung, anchors = memory.ravel(), speeds.ravel(), anchor.ravel()
    sums, mass = powers.ravel(), masses.ravel()
    apart, said, out = difference.ravel(), answer.ravel(), y.ravel()
    hid, sought, basis, shares = hidden.ravel(), asked.ravel(), base.ravel(), lefts.ravel()
    for g in range(groups):
        begin, place = 0, 0
        while begin < steps:
            count = min(steps - begin, chunk - (offset + begin) % chunk)
            first, old = g * steps + begin, (g * stretches + place) * whole
            at, in_at, rate, length = first * narrow, first * wide, first * RATES, count * narrow
            till = count * wide
            stand = (g * stretches + place) * WIDTH
            if place == 0:
                copy(anchors, g * whole, whole_of, 0, whole)
            else:
                with_base(held, old, basis, g * whole, shares, stand, whole_of, 0, whole)
            copy(shares, stand, left, 0, WIDTH)
            for t in range(count):
                keep = load(told, rate + t * RATES + KEEP, 0, 1, WIDTH)
                before = load(left, max(t - 1, 0) * WIDTH, 0, 1, WIDTH)
                store(left, t * WIDTH, 0, product(keep, before))
            copy(left, (count - 1) * WIDTH, shares, stand + WIDTH, WIDTH)
            for layer in range(layers):
                rows, span = size if layer == layers - 1 else inner, wide if layer else narrow
                to = layer * inner * narrow
                retain(whole_of, 0, rows, span, norm, spreads, room, weights, to)
                if layer < layers - 1:
                    multiply(weights, to, rows, span, keys, at, count, hid, in_at)
                    here = hid[in_at : in_at + till]
                    activate(here, active[:till], pushes[:till], spare[:till])
                else:
                    learned, from_ = (active, 0) if layer else (keys, at)
                    multiply(weights, to, rows, span, learned, from_, count, apart, at)
            if inner > 0:
                add(keys, at, apart, at, length)
            subtract(values, at, apart, at, length)
            for t in range(count):
                bound, there = rate + t * RATES + BOUND, at + t * narrow
                error_of(
                    apart[there : there + narrow], told[bound : bound + WIDTH], p, outliers,
                    bounded, room, errors[t * narrow : (t + 1) * narrow], long,
                )  # fmt: skip
            if inner > 0:
                spare[:till] = 0
                multiply_turned(weights, inner * narrow, size, wide, errors, count, spare)
                times(pushes, pushes, spare, till)
            for layer in range(layers):
                rows, span = size if layer == layers - 1 else inner, wide if layer else narrow
                moved = errors if layer == layers - 1 else pushes
                if layer:
                    # nothing but the activation is wanted
                    here = sought[in_at : in_at + till]
                    activate(here, spare[:till], pushes[:till], pushes[:till])
                learned, from_ = (active, 0) if layer else (keys, at)
                heard, where = (spare, 0) if layer else (asks, at)
                told_to, there = (said, at) if layer == layers - 1 else (sought, in_at)
                off = layer * inner * narrow
                to = old + off
                learn(
                    held, swung, to, to + whole, rows, span, basis, g * whole + off, left, moved,
                    learned, from_, heard, where, told, rate, count, moving, norm, spreads, near,
                    sums, (2 * first + layer) * WIDTH, mass,
                    2 * (layer * groups * steps * inner + first * rows) * WIDTH, told_to, there,
                )  # fmt: skip
            copy(said, at, out, at, length)
            if inner > 0:
                add(asks, at, out, at, length)
            begin, place = begin + count, place + 1
