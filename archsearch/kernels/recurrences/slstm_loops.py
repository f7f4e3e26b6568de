"""The loops of the sLSTM in single precision, for one head.

Arrays of all steps are (B, T, ...), ``size`` is S. ``kind`` is one number: whether F is s(f).
"""

from __future__ import annotations

import numpy as np
from numpy import float32

from archsearch.kernels.recurrences.recurrence_loops import add_product, contracted
from archsearch.kernels.vector_math import exponential, hyperbolic, logistic

ONE = float32(1.0)


@contracted
def forward(
    drives: np.ndarray,
    matrix: np.ndarray,
    kind: np.ndarray,
    h: np.ndarray,
    c: np.ndarray,
    n: np.ndarray,
    m: np.ndarray,
    y: np.ndarray,
    kept: np.ndarray,
) -> None:
    """``matrix`` is (S, 4 S); h, c, n, m are the first state and become the last. ``kept``
    (B, T, 7 S) receives what is taken and kept, tanh(z), s(o), c_t, n_t, and d log F / d f."""
    batch, steps, size = y.shape
    sigmoid = kind[0] > 0
    hidden = np.empty((batch, 4 * size), float32)
    for t in range(steps):
        for row in range(batch):
            hidden[row] = drives[row, t]
        add_product(h, matrix, hidden)
        for row in range(batch):
            i, f = hidden[row, :size], hidden[row, size : 2 * size]
            known, level, state = kept[row, t], m[row], h[row]
            take, keep = known[:size], known[size : 2 * size]
            z, o = known[2 * size : 3 * size], known[3 * size : 4 * size]
            memory, weight = known[4 * size : 5 * size], known[5 * size : 6 * size]
            slope = known[6 * size :]
            for j in range(size):
                slope[j] = logistic(-f[j]) if sigmoid else ONE
            if sigmoid:
                for j in range(size):
                    # log s(f), exact at both ends
                    f[j] = min(f[j], float32(0.0)) - np.log1p(exponential(-abs(f[j])))
            for j in range(size):
                f[j] += level[j]
            for j in range(size):
                level[j] = f[j] if f[j] > i[j] else i[j]
            for j in range(size):
                take[j] = exponential(i[j] - level[j])
            for j in range(size):
                keep[j] = exponential(f[j] - level[j])
            for j in range(2 * size):
                known[2 * size + j] = hidden[row, 2 * size + j]
            for j in range(size):
                z[j] = hyperbolic(z[j])
            for j in range(size):
                o[j] = logistic(o[j])
            for j in range(size):
                c[row, j] = keep[j] * c[row, j] + take[j] * z[j]
            for j in range(size):
                n[row, j] = keep[j] * n[row, j] + take[j]
            memory[:] = c[row]
            weight[:] = n[row]
            for j in range(size):
                state[j] = o[j] * memory[j] / weight[j]
            y[row, t] = state


@contracted
def backward(
    dy: np.ndarray,
    c0: np.ndarray,
    n0: np.ndarray,
    recurrent: np.ndarray,
    kept: np.ndarray,
    ddrives: np.ndarray,
    dh: np.ndarray,
    dc: np.ndarray,
    dn: np.ndarray,
) -> None:
    """``recurrent`` is (4 S, S). dh, dc and dn are those of the last state and become those of the
    first; ``ddrives`` (B, T, 4 S) is written."""
    batch, steps, size = dy.shape
    slopes = np.empty((batch, 4 * size), float32)
    for t in range(steps - 1, -1, -1):
        for row in range(batch):
            known, total, all_ = kept[row, t], dh[row], slopes[row]
            take, keep = known[:size], known[size : 2 * size]
            z, o = known[2 * size : 3 * size], known[3 * size : 4 * size]
            memory, weight = known[4 * size : 5 * size], known[5 * size : 6 * size]
            slope, given, dcell, dweight = known[6 * size :], dy[row, t], dc[row], dn[row]
            c, n = c0[row], n0[row]
            if t > 0:
                c, n = kept[row, t - 1, 4 * size : 5 * size], kept[row, t - 1, 5 * size : 6 * size]
            di, df = all_[:size], all_[size : 2 * size]
            dz, do = all_[2 * size : 3 * size], all_[3 * size :]
            for j in range(size):
                # of c_t / n_t
                total[j] = (total[j] + given[j]) / weight[j]
            for j in range(size):
                do[j] = total[j] * memory[j] * o[j] * (ONE - o[j])
            for j in range(size):
                total[j] *= o[j]
            for j in range(size):
                dcell[j] += total[j]
            for j in range(size):
                dweight[j] -= total[j] * (memory[j] / weight[j])
            for j in range(size):
                di[j] = (dcell[j] * z[j] + dweight[j]) * take[j]
            for j in range(size):
                dz[j] = dcell[j] * take[j] * (ONE - z[j] * z[j])
            for j in range(size):
                df[j] = dcell[j] * c[j] + dweight[j] * n[j]
            for j in range(size):
                df[j] *= keep[j] * slope[j]
            for j in range(size):
                dcell[j] *= keep[j]
            for j in range(size):
                dweight[j] *= keep[j]
            ddrives[row, t] = all_
        dh[:] = float32(0.0)
        add_product(slopes, recurrent, dh)
