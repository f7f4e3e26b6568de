"""The loops of a GRU whose units hear themselves only, in single precision, by sixteen units.

Arrays: ``drives`` (B, T, 3 W) for z, r and c with W a multiple of ``WIDTH``, ``bias`` (3 W,),
``a`` (3, W), states (B, W) and ``y`` (B, T, W). Each step waits for the one before it, so units are
the inner loop, and rows with them where there are few: the processor works on several at a time.
"""

from __future__ import annotations

import numpy as np
from numpy import float32

from archsearch.kernels.lane_functions import hyperbolic, sigmoid
from archsearch.kernels.lanes import WIDTH, fused, lessened, load, product, splat, store
from archsearch.kernels.recurrences.recurrence_loops import contracted

ONE = float32(1.0)
AT_ONCE = 4 * WIDTH  # units that are worked on side by side
# so many steps are summed before they join a longer sum, which keeps its rounding error small
BLOCK = 64


@contracted
def forward(
    drives: np.ndarray, bias: np.ndarray, a: np.ndarray, h: np.ndarray, y: np.ndarray,
    kept: np.ndarray,
) -> None:  # fmt: skip
    """``h`` is the first state and becomes the last; ``kept`` (B, T, 3 W) receives z, r and c."""
    batch, steps, width = y.shape
    one, group = splat(ONE), max(AT_ONCE // width, 1)
    for first in range(0, batch, group):
        for t in range(steps):
            for n in range(first, min(first + group, batch)):
                row = n * steps + t
                for i in range(0, width, WIDTH):
                    j, k, at, unit = i + width, i + 2 * width, 3 * row * width + i, n * width + i
                    before = load(h, unit)
                    z = fused(one, load(bias, i), load(drives, at))
                    z = sigmoid(fused(load(a, i), before, z))
                    r = fused(one, load(bias, j), load(drives, at + width))
                    r = sigmoid(fused(load(a, j), before, r))
                    c = fused(one, load(bias, k), load(drives, at + 2 * width))
                    c = hyperbolic(fused(load(a, k), product(r, before), c))
                    after = fused(z, lessened(one, before, c), before)
                    store(kept, at, z)
                    store(kept, at + width, r)
                    store(kept, at + 2 * width, c)
                    store(y, row * width + i, after)
                    store(h, unit, after)


@contracted
def backward(
    dy: np.ndarray, y: np.ndarray, h0: np.ndarray, a: np.ndarray, kept: np.ndarray,
    ddrives: np.ndarray, dbias: np.ndarray, da: np.ndarray, dh: np.ndarray,
) -> None:  # fmt: skip
    """Writes ``ddrives``; ``dh`` is that of the last state and becomes that of the first;
    ``dbias`` and ``da``, zero at first, are added to.
    """
    batch, steps, width = y.shape
    one, zero, group = splat(ONE), splat(float32(0.0)), max(AT_ONCE // width, 1)
    sums = np.zeros(6 * width, float32)
    for first in range(0, batch, group):
        for t in range(steps - 1, -1, -1):
            for n in range(first, min(first + group, batch)):
                row = n * steps + t
                for i in range(0, width, WIDTH):
                    j, k, at, unit = i + width, i + 2 * width, 3 * row * width + i, n * width + i
                    here = row * width + i
                    before = load(y, here - width) if t > 0 else load(h0, unit)
                    z, r = load(kept, at), load(kept, at + width)
                    c = load(kept, at + 2 * width)
                    slope = fused(one, load(dy, here), load(dh, unit))
                    dz = product(product(slope, lessened(one, before, c)), lessened(z, z, z))
                    dc = product(product(slope, z), lessened(c, c, one))
                    reset = product(r, before)
                    dreset = product(dc, load(a, k))
                    dr = product(product(dreset, before), lessened(r, r, r))
                    store(ddrives, at, dz)
                    store(ddrives, at + width, dr)
                    store(ddrives, at + 2 * width, dc)
                    back = fused(dreset, r, lessened(z, slope, slope))
                    store(dh, unit, fused(dz, load(a, i), fused(dr, load(a, j), back)))
                    for place, part, seen in ((i, dz, before), (j, dr, before), (k, dc, reset)):
                        store(sums, place, fused(one, part, load(sums, place)))
                        total = 3 * width + place
                        store(sums, total, fused(part, seen, load(sums, total)))
            if t % BLOCK == 0:
                for i in range(0, 3 * width, WIDTH):
                    total = 3 * width + i
                    store(dbias, i, fused(one, load(sums, i), load(dbias, i)))
                    store(da, i, fused(one, load(sums, total), load(da, i)))
                    store(sums, i, zero)
                    store(sums, total, zero)
