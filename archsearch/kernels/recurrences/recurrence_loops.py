"""The loops of the gated recurrent unit in single precision, all rows of a step side by side.

Arrays of all steps are (B, T, ...) and ``width`` is W. A loop touches few arrays at a time, for
only then the compiler can tell that they do not overlap, and uses vector instructions.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy import float32

from archsearch.kernels.compiled import compiled
from archsearch.kernels.inlined import inlined
from archsearch.kernels.vector_math import hyperbolic, logistic

contracted = partial(compiled, contracted=True)


@inlined
def add_product(left: np.ndarray, right: np.ndarray, out: np.ndarray) -> None:
    """Add ``left`` (rows, K) times ``right`` (K, N) to ``out``, two rows and four terms at once."""
    rows, terms = left.shape
    whole = terms - terms % 4
    for row in range(0, rows - 1, 2):
        for k in range(0, whole, 4):
            a, b, c, d = left[row, k], left[row, k + 1], left[row, k + 2], left[row, k + 3]
            e, f, g, h = (
                left[row + 1, k],
                left[row + 1, k + 1],
                left[row + 1, k + 2],
                left[row + 1, k + 3],
            )
            for j in range(right.shape[1]):
                w, x, y, z = right[k, j], right[k + 1, j], right[k + 2, j], right[k + 3, j]
                out[row, j] = a * w + (b * x + (c * y + (d * z + out[row, j])))
                out[row + 1, j] = e * w + (f * x + (g * y + (h * z + out[row + 1, j])))
        for k in range(whole, terms):
            a, e = left[row, k], left[row + 1, k]
            for j in range(right.shape[1]):
                out[row, j] += a * right[k, j]
                out[row + 1, j] += e * right[k, j]
    for row in range(rows - rows % 2, rows):
        for k in range(0, whole, 4):
            a, b, c, d = left[row, k], left[row, k + 1], left[row, k + 2], left[row, k + 3]
            for j in range(right.shape[1]):
                w, x, y, z = right[k, j], right[k + 1, j], right[k + 2, j], right[k + 3, j]
                out[row, j] = a * w + (b * x + (c * y + (d * z + out[row, j])))
        for k in range(whole, terms):
            a = left[row, k]
            for j in range(right.shape[1]):
                out[row, j] += a * right[k, j]


@inlined
def row_slopes(
    known: np.ndarray, given: np.ndarray, before: np.ndarray, total: np.ndarray,
    slopes: np.ndarray, dgates: np.ndarray,
) -> None:  # fmt: skip
    """One row of one step back, but for the part of the slope ``total`` that passes the matrix.

    ``slopes`` (3 W,) are those of what the matrix adds, ``dgates`` those of what is given.
    """
    width, one = len(total), float32(1.0)
    r, z = known[:width], known[width : 2 * width]
    n, inner = known[2 * width : 3 * width], known[3 * width :]
    dr, dz, dn = slopes[:width], slopes[width : 2 * width], slopes[2 * width :]
    for j in range(width):
        total[j] += given[j]
    for j in range(width):
        dn[j] = total[j] * (one - z[j]) * (one - n[j] * n[j])
    for j in range(width):
        dr[j] = dn[j] * inner[j] * r[j] * (one - r[j])
    for j in range(width):
        dz[j] = total[j] * (before[j] - n[j]) * z[j] * (one - z[j])
    dgates[:] = slopes
    for j in range(width):
        dn[j] *= r[j]
    for j in range(width):
        total[j] *= z[j]


@contracted
def forward(
    gates: np.ndarray,
    matrix: np.ndarray,
    bias: np.ndarray,
    h0: np.ndarray,
    y: np.ndarray,
    kept: np.ndarray,
) -> None:
    """``matrix`` is (W, 3 W), ``kept`` (B, T, 4 W): r, z, n and what r lets through."""
    batch, steps, width = y.shape
    h, hidden = h0.copy(), np.empty((batch, 3 * width), float32)
    for t in range(steps):
        for row in range(batch):
            hidden[row, : 2 * width] = gates[row, t, : 2 * width]
            hidden[row, 2 * width :] = bias
        add_product(h, matrix, hidden)
        for row in range(batch):
            both, inner = hidden[row, : 2 * width], hidden[row, 2 * width :]
            given, state, known = gates[row, t, 2 * width :], h[row], kept[row, t]
            known[3 * width :] = inner
            for j in range(2 * width):
                known[j] = logistic(both[j])
            for j in range(width):
                inner[j] = known[j] * inner[j] + given[j]
            for j in range(width):
                known[2 * width + j] = hyperbolic(inner[j])
            z, n = known[width : 2 * width], known[2 * width : 3 * width]
            for j in range(width):
                state[j] = n[j] + z[j] * (state[j] - n[j])
            y[row, t] = state


@contracted
def backward(
    dy: np.ndarray,
    y: np.ndarray,
    h0: np.ndarray,
    kept: np.ndarray,
    recurrent: np.ndarray,
    dgates: np.ndarray,
    dinner: np.ndarray,
    dh: np.ndarray,
) -> None:
    """``dgates`` is (B, T, 3 W), ``dinner`` (B, T, W); ``dh`` is zero at first and h0's at last."""
    batch, steps, width = y.shape
    slopes = np.empty((batch, 3 * width), float32)
    for t in range(steps - 1, -1, -1):
        for row in range(batch):
            before = y[row, t - 1] if t > 0 else h0[row]
            row_slopes(kept[row, t], dy[row, t], before, dh[row], slopes[row], dgates[row, t])
            dinner[row, t] = slopes[row, 2 * width :]
        add_product(slopes, recurrent, dh)
