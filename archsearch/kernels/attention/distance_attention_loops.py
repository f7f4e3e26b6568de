"""The loops of attention over given distances, row by row and query by query.

Arrays are (N, T, d) for queries and (N, S, d) for keys and values, N all heads of all rows;
``added`` is (N, n), ``distances`` (n,) rising from 0, and ``kind`` (1,) not zero for rectifiers in
place of a softmax.
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
    added: np.ndarray,
    kind: np.ndarray,
    distances: np.ndarray,
    out: np.ndarray,
    kept: np.ndarray,
) -> None:
    """``kept`` (N, T, n) receives the weights, zero beyond the first key."""
    rows, length, size = q.shape
    past, few = k.shape[1] - length, len(distances)
    scale, zero = out.dtype.type(size) ** out.dtype.type(-0.5), out.dtype.type(0)
    for row in range(rows):
        for i in range(length):
            place, weights, query = past + i, kept[row, i], q[row, i]
            count = 0
            while count < few and distances[count] <= place:
                key = k[row, place - int(distances[count])]
                score = query[0] * key[0]
                for j in range(1, size):
                    score += query[j] * key[j]
                weights[count] = score * scale + added[row, count]
                count += 1
            # comparisons, unlike max, let a missing number through
            if kind[0]:
                for m in range(count):
                    weights[m] = zero if weights[m] <= zero else weights[m]
            else:
                highest = weights[0]
                for m in range(1, count):
                    highest = highest if highest > weights[m] else weights[m]
                total = zero
                for m in range(count):
                    weights[m] = np.exp(weights[m] - highest)
                    total += weights[m]
                for m in range(count):
                    weights[m] /= total
            result = out[row, i]
            for m in range(count):
                value, weight = v[row, place - int(distances[m])], weights[m]
                for j in range(size):
                    result[j] += weight * value[j]


@contracted
def backward(
    dout: np.ndarray,
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    kind: np.ndarray,
    distances: np.ndarray,
    kept: np.ndarray,
    dq: np.ndarray,
    dk: np.ndarray,
    dv: np.ndarray,
    dadded: np.ndarray,
) -> None:
    """What is given of gradients, that of ``added`` for each row, is zero at first."""
    rows, length, size = q.shape
    past, few = k.shape[1] - length, len(distances)
    scale, zero = dq.dtype.type(size) ** dq.dtype.type(-0.5), dq.dtype.type(0)
    slopes = np.empty(few, dq.dtype)
    for row in range(rows):
        for i in range(length):
            place, weights = past + i, kept[row, i]
            given, query, of_query = dout[row, i], q[row, i], dq[row, i]
            mean = zero
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
                slope = weights[m] * (slopes[m] - mean)
                if kind[0]:
                    slope = zero if weights[m] == zero else slopes[m]
                dadded[row, m] += slope
                slope *= scale
                key, of_key = k[row, at], dk[row, at]
                for j in range(size):
                    of_query[j] += slope * key[j]
                for j in range(size):
                    of_key[j] += slope * query[j]
