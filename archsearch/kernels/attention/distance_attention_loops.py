"""The loops of attention over given distances, row by row and query by query.

Arrays are (N, T, d) for queries and (N, S, d) for keys and values, N all heads of all rows;
``slopes`` is (N,), ``distances`` (n,) rising from 0.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled

contracted = partial(compiled, contracted=True)


@contracted
def forward(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    slopes: np.ndarray,
    distances: np.ndarray,
    out: np.ndarray,
    kept: np.ndarray,
) -> None:
    """``kept`` (N, T, n) receives the weights, zero beyond the first key."""
    rows, length, size = q.shape
    past, few = k.shape[1] - length, len(distances)
    scale = out.dtype.type(size) ** out.dtype.type(-0.5)
    for row in range(rows):
        for i in range(length):
            place, weights, query = past + i, kept[row, i], q[row, i]
            count = 0
            while count < few and distances[count] <= place:
                key = k[row, place - int(distances[count])]
                score = query[0] * key[0]
                for j in range(1, size):
                    score += query[j] * key[j]
                weights[count] = score * scale - slopes[row] * distances[count]
                count += 1
            highest = weights[0]
            for m in range(1, count):
                # a comparison, unlike max, lets a missing number through
                highest = highest if highest > weights[m] else weights[m]
            total = weights[0] - weights[0]
            for m in range(count):
                weights[m] = np.exp(weights[m] - highest)
                total += weights[m]
            result = out[row, i]
            for m in range(count):
                weights[m] /= total
                value, weight = v[row, place - int(distances[m])], weights[m]
                for j in range(size):
                    result[j] += weight * value[j]


@contracted
def backward(
    dout: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    distances: np.ndarray,
    kept: np.ndarray,
    dq: np.ndarray,
    dk: np.ndarray,
    dv: np.ndarray,
) -> None:
    """``dq``, ``dk`` and ``dv`` are zero at first."""
    rows, length, size = q.shape
    past, few = k.shape[1] - length, len(distances)
    scale = dq.dtype.type(size) ** dq.dtype.type(-0.5)
    slopes = np.empty(few, dq.dtype)
    for row in range(rows):
        for i in range(length):
            place, weights = past + i, kept[row, i]
            given, query, of_query = dout[row, i], q[row, i], dq[row, i]
            mean = weights[0] - weights[0]
            count = 0
            while count < few and distances[count] <= place:
                at = place - int(distances[count])
                value, of_value, weight = v[row, at], dv[row, at], weights[count]
                slope = given[0] * value[0]
                for j in range(1, size):
                    slope += given[j] * value[j]
                for j in range(size):
                    of_value[j] += weight * given[j]
                slopes[count] = slope
                mean += weight * slope
                count += 1
            for m in range(count):
                at = place - int(distances[m])
                slope = weights[m] * (slopes[m] - mean) * scale
                key, of_key = k[row, at], dk[row, at]
                for j in range(size):
                    of_query[j] += slope * key[j]
                for j in range(size):
                    of_key[j] += slope * query[j]
