"""The loops of the levels of a TrellisNet in single precision, some positions at a time.

All levels of these are done before the next, so that a cache holds what one level hands to another.
``seen`` (B, P + T, W) are inputs and those before, ``hs`` and ``cs`` (L, B, P + T, W) h and c that
each level gives out, the first P of them from before, without h of the last level; ``kept``
(L, B, T, 4 W) gates after their functions. Taps are (2, W, 4 W). ``plan`` (2, L) has the dilation
of each level and which of the ``shifts``, the dilations that differ, it is.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy import float32

from archsearch.kernels.compiled import compiled
from archsearch.kernels.inlined import inlined
from archsearch.kernels.lane_functions import hyperbolic, sigmoid
from archsearch.kernels.lanes import WIDTH, fused, lessened, load, product, splat, store
from archsearch.kernels.projections.tile_products import add_products

contracted = partial(compiled, contracted=True)
STRETCH = 64  # positions at a time
ZERO, ONE = float32(0.0), float32(1.0)


@inlined
def _opened(
    kept: np.ndarray, at: int, cs: np.ndarray, before: int, to: int, h: np.ndarray, there: int,
    width: int,
) -> None:  # fmt: skip
    """Sums of gates (4 W,) become their values; c before is none where ``before`` is negative."""
    for j in range(0, width, WIDTH):
        i, f = sigmoid(load(kept, at + j)), sigmoid(load(kept, at + width + j))
        g, o = hyperbolic(load(kept, at + 2 * width + j)), sigmoid(load(kept, at + 3 * width + j))
        store(kept, at + j, i)
        store(kept, at + width + j, f)
        store(kept, at + 2 * width + j, g)
        store(kept, at + 3 * width + j, o)
        c = product(i, g)
        if before >= 0:
            c = fused(f, load(cs, before + j), c)
        store(cs, to + j, c)
        store(h, there + j, product(o, hyperbolic(c)))


@inlined
def _closed(
    kept: np.ndarray, at: int, cs: np.ndarray, before: int, to: int, dhs: np.ndarray, there: int,
    dcs: np.ndarray, back: int, slopes: np.ndarray, own: int, injected: np.ndarray, all_: int,
    width: int,
) -> None:  # fmt: skip
    """Write slopes of the sums of gates, and add them to ``injected`` and what they give to that
    of c before, at ``back``; there is none where ``before`` is negative.
    """
    one, none = splat(ONE), splat(ZERO)
    for j in range(0, width, WIDTH):
        i, f = load(kept, at + j), load(kept, at + width + j)
        g, o = load(kept, at + 2 * width + j), load(kept, at + 3 * width + j)
        read, given = hyperbolic(load(cs, to + j)), load(dhs, there + j)
        passed = fused(product(given, o), lessened(read, read, one), load(dcs, there + j))
        of_i = product(product(passed, g), lessened(i, i, i))
        of_g = product(product(passed, i), lessened(g, g, one))
        of_o = product(product(given, read), lessened(o, o, o))
        of_f = none
        if before >= 0:
            of_f = product(product(passed, load(cs, before + j)), lessened(f, f, f))
            store(dcs, back + j, fused(passed, f, load(dcs, back + j)))
        place, total = own + j, all_ + j
        store(slopes, place, of_i)
        store(slopes, place + width, of_f)
        store(slopes, place + 2 * width, of_g)
        store(slopes, place + 3 * width, of_o)
        store(injected, total, fused(one, of_i, load(injected, total)))
        store(injected, total + width, fused(one, of_f, load(injected, total + width)))
        store(injected, total + 2 * width, fused(one, of_g, load(injected, total + 2 * width)))
        store(injected, total + 3 * width, fused(one, of_o, load(injected, total + 3 * width)))


@inlined
def _add_taps(
    source: np.ndarray, at: int, far: int, taps: np.ndarray, out: np.ndarray, to: int, rows: int,
    width: int,
) -> None:  # fmt: skip
    """Add what both taps make of rows from ``at`` on and of those ``far`` numbers before."""
    size = 4 * width
    for tap in range(2):
        begin = at - (1 - tap) * far
        add_products(
            source, begin, width, 1, taps, tap * width * size, size, out, to, size,
            rows, width, size,
        )  # fmt: skip


@inlined
def _add_slopes(
    slopes: np.ndarray, source: np.ndarray, at: int, dsource: np.ndarray, to: int, far: int,
    turned: np.ndarray, dtaps: np.ndarray, rows: int, width: int,
) -> None:  # fmt: skip
    """Add to the slopes of the rows that both taps read, and to those of the taps."""
    size = 4 * width
    for tap in range(2):
        before, own = (1 - tap) * far, tap * width * size
        add_products(
            slopes, 0, size, 1, turned, own, width, dsource, to - before, width, rows, size, width
        )
        add_products(
            source, at - before, 1, width, slopes, 0, size, dtaps, own, size, width, rows, size
        )


@contracted
def forward(
    seen: np.ndarray, inject: np.ndarray, hidden: np.ndarray, bias: np.ndarray, plan: np.ndarray,
    shifts: np.ndarray, hs: np.ndarray, cs: np.ndarray, kept: np.ndarray, y: np.ndarray,
) -> None:  # fmt: skip
    """Fills ``hs`` and ``cs`` behind what is from before, ``kept`` and ``y`` (B, T, W)."""
    batch, steps, width = y.shape
    levels, past, size = len(kept), seen.shape[1] - steps, 4 * width
    injected = np.zeros((len(shifts), STRETCH, size), float32)
    inputs, states, memories, sums = seen.ravel(), hs.ravel(), cs.ravel(), injected.ravel()
    known, outputs, first, taps = kept.ravel(), y.ravel(), inject.ravel(), hidden.ravel()
    for row in range(batch):
        for begin in range(0, steps, STRETCH):
            count = min(STRETCH, steps - begin)
            for which in range(len(shifts)):
                for t in range(count):
                    injected[which, t] = bias
                _add_taps(
                    inputs, (row * (past + steps) + past + begin) * width,
                    int(shifts[which]) * width, first, sums, which * STRETCH * size,
                    count, width,
                )  # fmt: skip
            for level in range(levels):
                far, which = int(plan[0, level]) * width, int(plan[1, level])
                own = (level * batch + row) * steps + begin
                after = ((level * batch + row) * (past + steps) + past + begin) * width
                place = after - batch * (past + steps) * width
                for t in range(count):
                    kept[level, row, begin + t] = injected[which, t]
                if level > 0:
                    _add_taps(states, place, far, taps, known, own * size, count, width)
                for t in range(count):
                    before = place + t * width - far if level > 0 else -1
                    to, at = after + t * width, (own + t) * size
                    if level < levels - 1:
                        _opened(known, at, memories, before, to, states, to, width)
                    else:
                        there = (row * steps + begin + t) * width
                        _opened(known, at, memories, before, to, outputs, there, width)


@contracted
def backward(
    dy: np.ndarray, seen: np.ndarray, back: np.ndarray, turned: np.ndarray, plan: np.ndarray,
    shifts: np.ndarray, hs: np.ndarray, cs: np.ndarray, kept: np.ndarray, dh: np.ndarray,
    dc: np.ndarray, dseen: np.ndarray, dinject: np.ndarray, dhidden: np.ndarray,
    dbias: np.ndarray,
) -> None:  # fmt: skip
    """``back`` and ``turned`` (2, 4 W, W) are ``inject`` and ``hidden`` transposed. ``dh`` and
    ``dc`` (L - 1, B, P, W) are the slopes of what came back and become those of what is from
    before. Adds to the arrays after them, (4 W,) the last.
    """
    batch, steps, width = dy.shape
    levels, past, size = len(kept), seen.shape[1] - steps, 4 * width
    slopes = np.zeros((STRETCH, size), float32)
    injected = np.zeros((len(shifts), STRETCH, size), float32)
    dhs = np.zeros((levels, past + steps, width), float32)
    dcs = np.zeros((levels, past + steps, width), float32)
    inputs, states, memories, known = seen.ravel(), hs.ravel(), cs.ravel(), kept.ravel()
    sums, every, dstates, dmemories = slopes.ravel(), injected.ravel(), dhs.ravel(), dcs.ravel()
    left, right, dinputs = back.ravel(), turned.ravel(), dseen.ravel()
    of_inject, of_hidden = dinject.ravel(), dhidden.ravel()
    for row in range(batch):
        dhs[:, :steps], dcs[:, :steps] = ZERO, ZERO
        dhs[: levels - 1, steps:], dcs[: levels - 1, steps:] = dh[:, row], dc[:, row]
        dhs[levels - 1, past:], dcs[levels - 1] = dy[row], ZERO
        for begin in range((steps - 1) // STRETCH * STRETCH, -1, -STRETCH):
            count = min(STRETCH, steps - begin)
            injected[:] = ZERO
            for level in range(levels - 1, -1, -1):
                far, which = int(plan[0, level]) * width, int(plan[1, level])
                own = (level * batch + row) * steps + begin
                behind = past + begin
                after = ((level * batch + row) * (past + steps) + behind) * width
                place = after - batch * (past + steps) * width
                near = (level * (past + steps) + behind) * width
                for t in range(count):
                    before = place + t * width - far if level > 0 else -1
                    _closed(
                        known, (own + t) * size, memories, before, after + t * width,
                        dstates, near + t * width, dmemories,
                        near + t * width - (past + steps) * width - far,
                        sums, t * size, every, (which * STRETCH + t) * size, width,
                    )  # fmt: skip
                if level > 0:
                    _add_slopes(
                        sums, states, place, dstates, near - (past + steps) * width, far, right,
                        of_hidden, count, width,
                    )  # fmt: skip
            for which in range(len(shifts)):
                slopes[:] = injected[which]
                for t in range(count):
                    slope = slopes[t]
                    for j in range(size):
                        dbias[j] += slope[j]
                place = (row * (past + steps) + past + begin) * width
                _add_slopes(
                    sums, inputs, place, dinputs, place, int(shifts[which]) * width, left,
                    of_inject, count, width,
                )  # fmt: skip
        dh[:, row], dc[:, row] = dhs[: levels - 1, :past], dcs[: levels - 1, :past]
