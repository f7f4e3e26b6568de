"""The loops of what followed alike places: a sum for each kind of place, from left to right.

``kinds`` (N, S), N all heads of all rows, numbers the kinds from zero on; one below zero is like
none.
"""

from __future__ import annotations

import numpy as np

from archsearch.kernels.compiled import compiled


@compiled
def forward(values: np.ndarray, kinds: np.ndarray, means: np.ndarray, parts: np.ndarray) -> None:
    """Fill ``means`` (N, T, d) of ``values`` (N, S, d), and ``parts`` (N, T).

    A part is one over the number of values in a mean, zero where there are none.
    """
    rows, steps, size = values.shape
    past = steps - means.shape[1]
    sums, counts = np.zeros((steps, size), values.dtype), np.zeros(steps, values.dtype)
    zero, one = values.dtype.type(0), values.dtype.type(1)
    for row in range(rows):
        sums[:], counts[:] = zero, zero
        for i in range(steps):
            if i > 1 and kinds[row, i - 2] >= 0:
                before = kinds[row, i - 2]
                total, value = sums[before], values[row, i - 1]
                counts[before] += one
                for c in range(size):
                    total[c] += value[c]
            if i >= past:
                kind, t = max(kinds[row, i], 0), i - past
                some = kinds[row, i] >= 0 and counts[kind] > zero
                part = one / counts[kind] if some else zero
                total, mean = sums[kind], means[row, t]
                parts[row, t] = part
                for c in range(size):
                    mean[c] = total[c] * part if some else zero


@compiled
def backward(dmeans: np.ndarray, kinds: np.ndarray, parts: np.ndarray, dvalues: np.ndarray) -> None:
    """Fill ``dvalues`` (N, S, d), from right to left."""
    rows, steps, size = dvalues.shape
    past, zero = steps - dmeans.shape[1], dmeans.dtype.type(0)
    sums = np.zeros((steps, size), dvalues.dtype)
    for row in range(rows):
        sums[:], dvalues[row] = zero, zero
        for i in range(steps - 1, 1, -1):
            part = parts[row, i - past] if i >= past else zero
            if part > zero:
                total, slope = sums[max(kinds[row, i], 0)], dmeans[row, i - past]
                for c in range(size):
                    total[c] += slope[c] * part
            # no position before this one looks at what stands two before it
            before = kinds[row, i - 2]
            if before >= 0:
                total, found = sums[max(before, 0)], dvalues[row, i - 1]
                for c in range(size):
                    found[c] = total[c]
