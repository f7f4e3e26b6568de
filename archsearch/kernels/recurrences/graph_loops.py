"""The loops of a graph of operations in single precision, one operation of all rows at a time.

``kept`` (T, S, B W) has every slot of every step. An operation is a row of the program: its code,
the slot that it writes, and up to three that it reads; of a product, the second is the matrix.
"""

from __future__ import annotations

import numpy as np
from numpy import float32

from archsearch.kernels.inlined import inlined
from archsearch.kernels.recurrences.recurrence_loops import add_product, contracted
from archsearch.kernels.vector_math import hyperbolic, logistic

(LIN, ADD, SUBTRACT, MULTIPLY, MAX, MIN, MIX, TANH, SIGMOID, RELU, POSITIVE, SIN, CLIP,
 CLIPPED_MULTIPLY, CLIPPED_MIX) = range(15)  # fmt: skip
ONE, HALF, NONE = float32(1.0), float32(0.5), float32(0.0)
TOP = float32(1e4)


@inlined
def _clipped(x: float) -> float:
    return TOP if x > TOP else (-TOP if x < -TOP else x)


@contracted
def forward(
    program: np.ndarray,
    ends: np.ndarray,
    matrices: np.ndarray,
    states: np.ndarray,
    kept: np.ndarray,
) -> None:
    """``ends`` (2, n) are the slots of the old states and of the new; given slots are filled."""
    steps, _, size = kept.shape
    count, width = len(states), matrices.shape[1]
    for t in range(steps):
        for s in range(count):
            kept[t, int(ends[0, s])] = states[s] if t == 0 else kept[t - 1, int(ends[1, s])]
        for row in range(len(program)):
            code, second = int(program[row, 0]), int(program[row, 3])
            out, a = kept[t, int(program[row, 1])], kept[t, int(program[row, 2])]
            if code == LIN:
                rows = (size // width, width)
                add_product(a.reshape(rows), matrices[second], out.reshape(rows))
                continue
            b, c = kept[t, second], kept[t, int(program[row, 4])]
            if code == ADD:
                for j in range(size):
                    out[j] = a[j] + b[j]
            elif code == SUBTRACT:
                for j in range(size):
                    out[j] = a[j] - b[j]
            elif code == MULTIPLY:
                for j in range(size):
                    out[j] = a[j] * b[j]
            elif code == MAX:
                for j in range(size):
                    # what is no number stays
                    out[j] = b[j] if b[j] > a[j] or b[j] != b[j] else a[j]
            elif code == MIN:
                for j in range(size):
                    out[j] = b[j] if b[j] < a[j] or b[j] != b[j] else a[j]
            elif code == MIX:
                for j in range(size):
                    out[j] = c[j] + a[j] * (b[j] - c[j])
            elif code == TANH:
                for j in range(size):
                    out[j] = hyperbolic(a[j])
            elif code == SIGMOID:
                for j in range(size):
                    out[j] = logistic(a[j])
            elif code == RELU:
                for j in range(size):
                    out[j] = NONE if a[j] <= NONE else a[j]
            elif code == POSITIVE:
                for j in range(size):
                    out[j] = a[j] + HALF if a[j] > NONE else logistic(a[j])
            elif code == SIN:
                for j in range(size):
                    out[j] = np.sin(a[j])
            elif code == CLIP:
                for j in range(size):
                    out[j] = _clipped(a[j])
            elif code == CLIPPED_MULTIPLY:
                for j in range(size):
                    out[j] = _clipped(a[j]) * _clipped(b[j])
            else:
                for j in range(size):
                    base = _clipped(c[j])
                    out[j] = base + _clipped(a[j]) * (_clipped(b[j]) - base)


@contracted
def backward(
    program: np.ndarray,
    ends: np.ndarray,
    recurrent: np.ndarray,
    kept: np.ndarray,
    dy: np.ndarray,
    dstates: np.ndarray,
    dkept: np.ndarray,
) -> None:
    """``recurrent`` are the matrices transposed, ``dy`` is (T, B W), ``dkept`` zero at first.
    ``dstates`` are those of the last states and become those of the first.
    """
    steps, _, size = kept.shape
    count, width = len(dstates), recurrent.shape[1]
    for t in range(steps - 1, -1, -1):
        dkept[t, int(ends[1, 0])] += dy[t]
        for s in range(count):
            dkept[t, int(ends[1, s])] += dstates[s]
        for row in range(len(program) - 1, -1, -1):
            code, second, third = int(program[row, 0]), int(program[row, 3]), int(program[row, 4])
            at, first = int(program[row, 1]), int(program[row, 2])
            g, da = dkept[t, at], dkept[t, first]
            if code == LIN:
                rows = (size // width, width)
                add_product(g.reshape(rows), recurrent[second], da.reshape(rows))
                continue
            out, a, b, c = kept[t, at], kept[t, first], kept[t, second], kept[t, third]
            db, dc = dkept[t, second], dkept[t, third]
            if code == ADD:
                for j in range(size):
                    da[j] += g[j]
                for j in range(size):
                    db[j] += g[j]
            elif code == SUBTRACT:
                for j in range(size):
                    da[j] += g[j]
                for j in range(size):
                    db[j] -= g[j]
            elif code == MULTIPLY:
                for j in range(size):
                    da[j] += g[j] * b[j]
                for j in range(size):
                    db[j] += g[j] * a[j]
            elif code in (MAX, MIN):
                sign = ONE if code == MAX else -ONE
                for j in range(size):
                    # equals share, as in torch
                    ahead = sign * (a[j] - b[j])
                    share = HALF if ahead == NONE else (ONE if ahead > NONE else NONE)
                    da[j] += share * g[j]
                    db[j] += (ONE - share) * g[j]
            elif code == MIX:
                for j in range(size):
                    da[j] += g[j] * (b[j] - c[j])
                for j in range(size):
                    db[j] += g[j] * a[j]
                for j in range(size):
                    dc[j] += g[j] * (ONE - a[j])
            elif code == TANH:
                for j in range(size):
                    da[j] += g[j] * (ONE - out[j] * out[j])
            elif code == SIGMOID:
                for j in range(size):
                    da[j] += g[j] * (out[j] * (ONE - out[j]))
            elif code == RELU:
                for j in range(size):
                    da[j] += g[j] if a[j] > NONE else NONE
            elif code == POSITIVE:
                for j in range(size):
                    da[j] += g[j] if a[j] > NONE else g[j] * (out[j] * (ONE - out[j]))
            elif code == SIN:
                for j in range(size):
                    da[j] += g[j] * np.cos(a[j])
            elif code == CLIP:
                for j in range(size):
                    da[j] += g[j] if abs(a[j]) <= TOP else NONE
            elif code == CLIPPED_MULTIPLY:
                for j in range(size):
                    da[j] += g[j] * _clipped(b[j]) if abs(a[j]) <= TOP else NONE
                for j in range(size):
                    db[j] += g[j] * _clipped(a[j]) if abs(b[j]) <= TOP else NONE
            else:
                for j in range(size):
                    gate = _clipped(a[j])
                    apart = _clipped(b[j]) - _clipped(c[j])
                    da[j] += g[j] * apart if abs(a[j]) <= TOP else NONE
                    db[j] += g[j] * gate if abs(b[j]) <= TOP else NONE
                    dc[j] += g[j] * (ONE - gate) if abs(c[j]) <= TOP else NONE
        for s in range(count):
            dstates[s] = dkept[t, int(ends[0, s])]
