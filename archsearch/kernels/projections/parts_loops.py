"""The loops of a linear map in single precision, whose sums stay in the registers.

Rows and inputs are multiples of ``WIDTH``, and so are outputs, filled up with zeros.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.memories.lanes.lane_blocks import accumulate, multiply

BLOCK = 64  # rows that are near while slopes of weights are summed over them

contracted = partial(compiled, contracted=True)


@contracted
def forward(x: np.ndarray, weight: np.ndarray, y: np.ndarray) -> None:
    """``x`` (N, I), ``weight`` (O / WIDTH, I, WIDTH), ``y`` (N, O)."""
    rows, inputs = x.shape
    outputs = y.shape[1]
    given, taught, found = x.ravel(), weight.ravel(), y.ravel()
    for row in range(0, rows, WIDTH):
        for c in range(0, outputs, WIDTH):
            to = row * outputs + c
            multiply(
                given,
                row * inputs,
                inputs,
                1,
                taught,
                c * inputs,
                WIDTH,
                found,
                to,
                outputs,
                inputs,
            )


@contracted
def backward(
    dy: np.ndarray, x: np.ndarray, weight: np.ndarray, dx: np.ndarray, dweight: np.ndarray
) -> None:
    """``weight`` (I / WIDTH, O, WIDTH); adds to ``dx`` (N, I) and ``dweight`` (O, I)."""
    rows, inputs = x.shape
    outputs = dy.shape[1]
    slopes, given, taught = dy.ravel(), x.ravel(), weight.ravel()
    dgiven, dtaught = dx.ravel(), dweight.ravel()
    for begin in range(0, rows, BLOCK):
        depth = min(BLOCK, rows - begin)
        for row in range(begin, begin + depth, WIDTH):
            for c in range(0, inputs, WIDTH):
                at, to = row * outputs, row * inputs + c
                accumulate(
                    slopes, at, outputs, 1, taught, c * outputs, WIDTH, dgiven, to, inputs, outputs
                )
        for a in range(0, outputs, WIDTH):
            for c in range(0, inputs, WIDTH):
                at, there, to = begin * outputs + a, begin * inputs + c, a * inputs + c
                accumulate(slopes, at, 1, outputs, given, there, inputs, dtaught, to, inputs, depth)
