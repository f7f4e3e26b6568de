"""What happens between the matrix products of two steps of a wide gated recurrent unit.

All rows of one step: ``hidden`` (B, 3 W) is U h, ``known`` (B, 4 W) holds r, z, n and what r lets
through, the others are (B, W) or (B, 3 W). A loop touches few arrays at a time, as in
:mod:`archsearch.kernels.recurrences.recurrence_loops`.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.recurrences.recurrence_loops import row_slopes
from archsearch.kernels.vector_math import hyperbolic, logistic

contracted = partial(compiled, contracted=True)


@contracted
def forward_step(
    gates: np.ndarray, hidden: np.ndarray, bias: np.ndarray, h: np.ndarray, y: np.ndarray,
    known: np.ndarray,
) -> None:  # fmt: skip
    """From what a step is given and U h to its new state ``y``."""
    batch, width = h.shape
    for row in range(batch):
        both, inner, kept = gates[row, : 2 * width], hidden[row, 2 * width :], known[row]
        asked = hidden[row, : 2 * width]
        for j in range(2 * width):
            kept[j] = logistic(both[j] + asked[j])
        for j in range(width):
            kept[3 * width + j] = inner[j] + bias[j]
        given = gates[row, 2 * width :]
        for j in range(width):
            inner[j] = kept[j] * kept[3 * width + j] + given[j]
        for j in range(width):
            kept[2 * width + j] = hyperbolic(inner[j])
        z, n, state, to = kept[width : 2 * width], kept[2 * width : 3 * width], h[row], y[row]
        for j in range(width):
            to[j] = n[j] + z[j] * (state[j] - n[j])


@contracted
def backward_step(
    dy: np.ndarray, before: np.ndarray, known: np.ndarray, dgates: np.ndarray, slopes: np.ndarray,
    dh: np.ndarray,
) -> None:  # fmt: skip
    """From the slope of a state to those of U h, and of the state before but for what U h adds."""
    for row in range(len(dy)):
        row_slopes(known[row], dy[row], before[row], dh[row], slopes[row], dgates[row])
