"""The loops of an LSTM whose units hear themselves only, in single precision, by sixteen units.

Arrays: ``drives`` (B, T, 3 W) for f, z and o with W a multiple of ``WIDTH``, ``bias`` (3 W,),
``weights`` (5, W) a_f, a_z, a_o, p_f and p_o, states (B, W) and ``y`` (B, T, W). The order of the
loops is that of :mod:`archsearch.kernels.recurrences.diagonal_gru_loops`.
"""

from __future__ import annotations

import numpy as np
from numpy import float32

from archsearch.kernels.lane_functions import hyperbolic, sigmoid
from archsearch.kernels.lanes import WIDTH, fused, lessened, load, product, splat, store
from archsearch.kernels.recurrences.diagonal_gru_loops import AT_ONCE, BLOCK
from archsearch.kernels.recurrences.recurrence_loops import contracted

ONE = float32(1.0)


@contracted
def forward(
    drives: np.ndarray, bias: np.ndarray, weights: np.ndarray, h: np.ndarray, c: np.ndarray,
    y: np.ndarray, kept: np.ndarray,
) -> None:  # fmt: skip
    """``h`` and ``c`` are the first state and become the last; ``kept`` (B, T, 4 W) receives f, z,
    o and c_t."""
    batch, steps, width = y.shape
    one, group = splat(ONE), max(AT_ONCE // width, 1)
    for first in range(0, batch, group):
        for t in range(steps):
            for n in range(first, min(first + group, batch)):
                row = n * steps + t
                for i in range(0, width, WIDTH):
                    j, k, at, unit = i + width, i + 2 * width, 3 * row * width + i, n * width + i
                    before, memory = load(h, unit), load(c, unit)
                    f = fused(one, load(bias, i), load(drives, at))
                    f = fused(load(weights, i), before, f)
                    f = sigmoid(fused(load(weights, k + width), memory, f))
                    z = fused(one, load(bias, j), load(drives, at + width))
                    z = hyperbolic(fused(load(weights, j), before, z))
                    memory = fused(f, lessened(one, z, memory), z)
                    o = fused(one, load(bias, k), load(drives, at + 2 * width))
                    o = fused(load(weights, k), before, o)
                    o = sigmoid(fused(load(weights, k + 2 * width), memory, o))
                    after = product(o, hyperbolic(memory))
                    at += row * width
                    store(kept, at, f)
                    store(kept, at + width, z)
                    store(kept, at + 2 * width, o)
                    store(kept, at + 3 * width, memory)
                    store(y, row * width + i, after)
                    store(h, unit, after)
                    store(c, unit, memory)


@contracted
def backward(
    dy: np.ndarray, y: np.ndarray, h0: np.ndarray, c0: np.ndarray, weights: np.ndarray,
    kept: np.ndarray, ddrives: np.ndarray, dbias: np.ndarray, dweights: np.ndarray,
    dh: np.ndarray, dc: np.ndarray,
) -> None:  # fmt: skip
    """Writes ``ddrives``; ``dh`` and ``dc`` are those of the last state and become those of the
    first; ``dbias`` and ``dweights``, zero at first, are added to.
    """
    batch, steps, width = y.shape
    one, zero, group = splat(ONE), splat(float32(0.0)), max(AT_ONCE // width, 1)
    sums = np.zeros(8 * width, float32)
    for first in range(0, batch, group):
        for t in range(steps - 1, -1, -1):
            for n in range(first, min(first + group, batch)):
                row = n * steps + t
                for i in range(0, width, WIDTH):
                    j, k, at, unit = i + width, i + 2 * width, 4 * row * width + i, n * width + i
                    here = row * width + i
                    before = load(y, here - width) if t > 0 else load(h0, unit)
                    older = load(kept, at - width) if t > 0 else load(c0, unit)
                    f, z = load(kept, at), load(kept, at + width)
                    o, memory = load(kept, at + 2 * width), load(kept, at + 3 * width)
                    read = hyperbolic(memory)
                    slope = fused(one, load(dy, here), load(dh, unit))
                    do = product(product(slope, read), lessened(o, o, o))
                    slope = fused(product(slope, o), lessened(read, read, one), load(dc, unit))
                    slope = fused(do, load(weights, k + 2 * width), slope)
                    dz = product(lessened(f, slope, slope), lessened(z, z, one))
                    df = product(product(slope, lessened(one, z, older)), lessened(f, f, f))
                    at -= row * width
                    store(ddrives, at, df)
                    store(ddrives, at + width, dz)
                    store(ddrives, at + 2 * width, do)
                    back = fused(dz, load(weights, j), product(do, load(weights, k)))
                    store(dh, unit, fused(df, load(weights, i), back))
                    store(dc, unit, fused(df, load(weights, k + width), product(slope, f)))
                    for place, part in ((i, df), (j, dz), (k, do)):
                        store(sums, place, fused(one, part, load(sums, place)))
                        total = 3 * width + place
                        store(sums, total, fused(part, before, load(sums, total)))
                    for place, part, seen in ((i, df, older), (j, do, memory)):
                        total = 6 * width + place
                        store(sums, total, fused(part, seen, load(sums, total)))
            if t % BLOCK == 0:
                for i in range(0, 8 * width, WIDTH):
                    if i < 3 * width:
                        store(dbias, i, fused(one, load(sums, i), load(dbias, i)))
                    else:
                        at = i - 3 * width
                        store(dweights, at, fused(one, load(sums, i), load(dweights, at)))
                    store(sums, i, zero)
