"""One step of one row of a recurrent core in single precision, forward and back.

``drive`` and ``asked`` (G W,) are what W_x and U give, gate after gate, ``kept`` what the
way back needs. Arrays are few in each loop, as in
:mod:`archsearch.kernels.recurrences.recurrence_loops`.
"""

from __future__ import annotations

import numpy as np
from numpy import float32

from archsearch.kernels.inlined import inlined
from archsearch.kernels.recurrences.recurrence_loops import row_slopes
from archsearch.kernels.vector_math import hyperbolic, logistic

GRU, LSTM, RNN = 0, 1, 2
KEPT = (4, 6, 0)  # times W
ONE = float32(1.0)


@inlined
def advance(
    core: int, drive: np.ndarray, asked: np.ndarray, inner: np.ndarray, h: np.ndarray,
    c: np.ndarray, kept: np.ndarray,
) -> None:  # fmt: skip
    """``h``, and ``c`` of an LSTM, become those after the step; ``drive`` is overwritten."""
    width = len(h)
    if core == GRU:
        both, of_both, let = drive[: 2 * width], asked[: 2 * width], kept[3 * width : 4 * width]
        for j in range(2 * width):
            kept[j] = logistic(both[j] + of_both[j])
        of_new, new, n = asked[2 * width :], drive[2 * width :], kept[2 * width : 3 * width]
        for j in range(width):
            let[j] = of_new[j] + inner[j]
        for j in range(width):
            new[j] += kept[j] * let[j]
        for j in range(width):
            n[j] = hyperbolic(new[j])
        z = kept[width : 2 * width]
        for j in range(width):
            h[j] = n[j] + z[j] * (h[j] - n[j])
    elif core == LSTM:
        for j in range(4 * width):
            drive[j] += asked[j]
        new, g = drive[2 * width : 3 * width], kept[2 * width : 3 * width]
        for j in range(2 * width):
            kept[j] = logistic(drive[j])
        for j in range(width):
            g[j] = hyperbolic(new[j])
        opens, o = drive[3 * width :], kept[3 * width : 4 * width]
        for j in range(width):
            o[j] = logistic(opens[j])
        f = kept[width : 2 * width]
        for j in range(width):
            c[j] = f[j] * c[j] + kept[j] * g[j]
        memory, read = kept[4 * width : 5 * width], kept[5 * width : 6 * width]
        memory[:] = c
        for j in range(width):
            read[j] = hyperbolic(memory[j])
        for j in range(width):
            h[j] = o[j] * read[j]
    else:
        for j in range(width):
            h[j] = hyperbolic(drive[j] + asked[j])


@inlined
def retreat(
    core: int, kept: np.ndarray, h: np.ndarray, before: np.ndarray, dh: np.ndarray, dc: np.ndarray,
    given: np.ndarray, dasked: np.ndarray, ddrive: np.ndarray,
) -> None:  # fmt: skip
    """From the slopes of ``h`` and c after the step to those of what made them.

    ``dh`` keeps what does not pass U. ``before`` is what the slopes of the gates need of the step
    before, h of a gated unit and c of an LSTM; ``given`` (W,) is zero.
    """
    width = len(h)
    if core == GRU:
        row_slopes(kept[: 4 * width], given, before, dh, dasked, ddrive)
    elif core == LSTM:
        i, f, g = kept[:width], kept[width : 2 * width], kept[2 * width : 3 * width]
        o, read = kept[3 * width : 4 * width], kept[5 * width : 6 * width]
        of_i, of_f = dasked[:width], dasked[width : 2 * width]
        of_g, of_o = dasked[2 * width : 3 * width], dasked[3 * width :]
        for j in range(width):
            of_o[j] = dh[j] * read[j] * o[j] * (ONE - o[j])
        for j in range(width):
            dc[j] += dh[j] * o[j] * (ONE - read[j] * read[j])
        for j in range(width):
            of_i[j] = dc[j] * g[j] * i[j] * (ONE - i[j])
        for j in range(width):
            of_f[j] = dc[j] * before[j] * f[j] * (ONE - f[j])
        for j in range(width):
            of_g[j] = dc[j] * i[j] * (ONE - g[j] * g[j])
        for j in range(width):
            dc[j] *= f[j]
        dh[:] = float32(0.0)
        ddrive[:] = dasked
    else:
        for j in range(width):
            dasked[j] = dh[j] * (ONE - h[j] * h[j])
        dh[:] = float32(0.0)
        ddrive[:] = dasked
