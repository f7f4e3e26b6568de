"""Functions of numbers that the recurrences of a GPU share."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def tanh(x):
    """Within a few units in the last place, near zero, too."""
    square = x * x
    small = x * (1 - square * (1 / 3 - square * (2 / 15 - square * (17 / 315))))
    e = tl.exp(-2 * tl.abs(x))
    large = (1 - e) / (1 + e)
    return tl.where(tl.abs(x) < 0.2, small, tl.where(x < 0, -large, large))


@triton.jit
def log_sigmoid(x):
    return tl.where(x < 0, x, 0.0) - tl.log(1 + tl.exp(-tl.abs(x)))


@triton.jit
def heard(h, matrix, gate, gates, size, TURNED: tl.constexpr, SIZE: tl.constexpr):
    """h (rows, S) times the part of a matrix (S, G S) that is of one gate, or its transpose."""
    one = tl.arange(0, SIZE)
    inside = (one < size)[:, None] & (one < size)[None, :]
    if TURNED:
        at = one[None, :] * gates * size + gate * size + one[:, None]
    else:
        at = one[:, None] * gates * size + gate * size + one[None, :]
    return tl.dot(h, tl.load(matrix + at, inside, 0.0), input_precision="ieee")
