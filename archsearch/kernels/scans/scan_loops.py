"""The loops of the diagonal linear recurrence, on arrays (batch, steps, rows, units).

A sequence is done from its first step to its last before the next is begun, and a step is a loop
over neighbours in memory. Coefficients ``a`` may be one in any dimension: then they are shared.
``h0`` and ``dh0`` are (batch, rows, units).
"""

from __future__ import annotations

import numpy as np

from archsearch.kernels.compiled import compiled

# so many terms are summed before they join a longer sum, which keeps its rounding error small
BLOCK = 64


@compiled
def forward(a: np.ndarray, b: np.ndarray, h0: np.ndarray, h: np.ndarray) -> None:
    batch, steps, rows, units = b.shape
    an, at, ar = int(a.shape[0] > 1), int(a.shape[1] > 1), int(a.shape[2] > 1)
    own = a.shape[3] == units
    for n in range(batch):
        for r in range(rows):
            for i in range(units):
                factor = a[n * an, 0, r * ar, i if own else 0]
                h[n, 0, r, i] = factor * h0[n, r, i] + b[n, 0, r, i]
        for t in range(1, steps):
            for r in range(rows):
                if own:
                    for i in range(units):
                        kept = a[n * an, t * at, r * ar, i] * h[n, t - 1, r, i]
                        h[n, t, r, i] = kept + b[n, t, r, i]
                else:
                    factor = a[n * an, t * at, r * ar, 0]
                    for i in range(units):
                        h[n, t, r, i] = factor * h[n, t - 1, r, i] + b[n, t, r, i]


@compiled
def backward(
    a: np.ndarray,
    h: np.ndarray,
    h0: np.ndarray,
    dh: np.ndarray,
    da: np.ndarray,
    db: np.ndarray,
    dh0: np.ndarray,
) -> None:
    """g_t = dh_t + conj(a_{t+1}) g_{t+1} is ``db``; ``da`` is g_t conj(h_{t-1}), left out if empty.

    Where coefficients are shared it is added to what ``da`` holds.
    """
    batch, steps, rows, units = h.shape
    an, at, ar = int(a.shape[0] > 1), int(a.shape[1] > 1), int(a.shape[2] > 1)
    own = a.shape[3] == units
    block = np.zeros((a.shape[2], a.shape[3]), h.dtype)
    for n in range(batch):
        for t in range(steps - 1, -1, -1):
            for r in range(rows):
                if t == steps - 1:
                    for i in range(units):
                        db[n, t, r, i] = dh[n, t, r, i]
                elif own:
                    for i in range(units):
                        kept = np.conj(a[n * an, (t + 1) * at, r * ar, i]) * db[n, t + 1, r, i]
                        db[n, t, r, i] = dh[n, t, r, i] + kept
                else:
                    factor = np.conj(a[n * an, (t + 1) * at, r * ar, 0])
                    for i in range(units):
                        db[n, t, r, i] = dh[n, t, r, i] + factor * db[n, t + 1, r, i]
            if da.size == 0:
                continue
            if da.size == h.size:
                for r in range(rows):
                    if t > 0:
                        for i in range(units):
                            da[n, t, r, i] = db[n, t, r, i] * np.conj(h[n, t - 1, r, i])
                    else:
                        for i in range(units):
                            da[n, t, r, i] = db[n, t, r, i] * np.conj(h0[n, r, i])
                continue
            for r in range(rows):
                before = h[n, t - 1, r] if t > 0 else h0[n, r]
                sums = da[n * an, t, r * ar] if at else block[r * ar]
                if own:
                    for i in range(units):
                        sums[i] += db[n, t, r, i] * np.conj(before[i])
                else:
                    for i in range(units):
                        sums[0] += db[n, t, r, i] * np.conj(before[i])
            if not at and t % BLOCK == 0:
                for r in range(a.shape[2]):
                    for i in range(a.shape[3]):
                        da[n * an, 0, r, i] += block[r, i]
                        block[r, i] = 0
        for r in range(rows):
            for i in range(units):
                factor = np.conj(a[n * an, 0, r * ar, i if own else 0])
                dh0[n, r, i] = factor * db[n, 0, r, i]
