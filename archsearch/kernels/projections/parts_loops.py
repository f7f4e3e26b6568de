"""The loops of a linear map in single precision, whose sums stay in the registers.

Inputs are multiples of ``WIDTH``, and so are outputs, filled up with zeros.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import WIDTH, fused, load, splat, store
from archsearch.kernels.memories.lanes.lane_blocks import accumulate, multiply

BLOCK = 64  # rows that are near while slopes of weights are summed over them

contracted = partial(compiled, contracted=True)


@contracted
def forward(x: np.ndarray, weight: np.ndarray, y: np.ndarray) -> None:
    """``x`` (N, I), ``weight`` (O / WIDTH, I, WIDTH), ``y`` (N, O)."""
    rows, inputs = x.shape
    outputs = y.shape[1]
    given, taught, found = x.ravel(), weight.ravel(), y.ravel()
    last, end = np.zeros(WIDTH * inputs, x.dtype), np.zeros(WIDTH * outputs, x.dtype)
    for row in range(0, rows, WIDTH):
        count = min(WIDTH, rows - row)
        source, target, at, to = given, found, row * inputs, row * outputs
        if count < WIDTH:
            for i in range(0, count * inputs, WIDTH):
                store(last, i, load(given, at + i))
            source, target, at, to = last, end, 0, 0
        for c in range(0, outputs, WIDTH):
            multiply(
                source, at, inputs, 1, taught, c * inputs, WIDTH, target, to + c, outputs, inputs
            )
        if count < WIDTH:
            for i in range(0, count * outputs, WIDTH):
                store(found, row * outputs + i, load(end, i))


@contracted
def backward(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray, dx: np.ndarray, dweight: np.ndarray
) -> None:
    """``weight`` (I / WIDTH, O, WIDTH); adds to ``dweight`` (O, I) and ``dx`` (N, I) or (0, I)."""
    rows, inputs = x.shape
    outputs = dy.shape[1]
    slopes, given, taught = dy.ravel(), x.ravel(), weight.ravel()
    dgiven, dtaught = dx.ravel(), dweight.ravel()
    last, end = np.zeros(WIDTH * outputs, x.dtype), np.zeros(WIDTH * inputs, x.dtype)
    one = splat(x.dtype.type(1))
    for begin in range(0, rows, BLOCK):
        depth = min(BLOCK, rows - begin)
        for row in range(begin, begin + (depth if dx.size else 0), WIDTH):
            count = min(WIDTH, rows - row)
            source, target, at, to = slopes, dgiven, row * outputs, row * inputs
            if count < WIDTH:
                for i in range(0, count * outputs, WIDTH):
                    store(last, i, load(slopes, at + i))
                source, target, at, to = last, end, 0, 0
            for c in range(0, inputs, WIDTH):
                accumulate(
                    source, at, outputs, 1, taught, c * outputs, WIDTH, target, to + c, inputs,
                    outputs,
                )  # fmt: skip
            if count < WIDTH:
                for i in range(row * inputs, rows * inputs, WIDTH):
                    store(dgiven, i, fused(one, load(end, i - row * inputs), load(dgiven, i)))
        for a in range(0, outputs, WIDTH):
            for c in range(0, inputs, WIDTH):
                at, there, to = begin * outputs + a, begin * inputs + c, a * inputs + c
                accumulate(slopes, at, 1, outputs, given, there, inputs, dtaught, to, inputs, depth)
