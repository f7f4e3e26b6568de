"""The loops of states that follow a differential equation, all rows side by side.

``args`` (T, E, B, W) are the states at which the field was evaluated, E times in a unit of time,
``known`` (T, E, B, G W) what its gates r and z and its candidate n were. ``method`` (2, S) has, for
each of a substep's evaluations, how far along the slope before it the state lies, and what its own
slope adds. ``gates`` (W, 2 W) and ``inner`` (W, W) are the parts of U transposed; a field without
gates has none of the first. A loop touches few arrays at a time, as in
:mod:`archsearch.kernels.recurrences.recurrence_loops`.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy import float32

from archsearch.kernels.compiled import compiled
from archsearch.kernels.inlined import inlined
from archsearch.kernels.recurrences.recurrence_loops import add_product
from archsearch.kernels.vector_math import hyperbolic, logistic

contracted = partial(compiled, contracted=True)


@inlined
def moved(start: np.ndarray, slope: np.ndarray, by: float32, end: np.ndarray) -> None:
    """``end`` = ``start`` + ``by`` ``slope``, of one row."""
    for j in range(len(end)):
        end[j] = start[j] + by * slope[j]


@contracted
def forward(
    drives: np.ndarray, gates: np.ndarray, inner: np.ndarray, h0: np.ndarray, share: np.ndarray,
    method: np.ndarray, y: np.ndarray, args: np.ndarray, known: np.ndarray,
) -> None:  # fmt: skip
    """From drives (T, B, G W) to states (T, B, W)."""
    steps, evaluations, batch, width = args.shape
    stages, both = method.shape[1], gates.shape[1]
    h, slope, entered = h0.copy(), np.zeros_like(h0), np.zeros_like(h0)
    total, new, asked = np.zeros_like(h0), np.zeros_like(h0), np.zeros((batch, both), float32)
    for t in range(steps):
        for e in range(evaluations):
            stage = e % stages
            arg, values = args[t, e], known[t, e]
            for row in range(batch):
                moved(h[row], slope[row], method[0, stage], arg[row])
                asked[row] = drives[t, row, :both]
                new[row] = drives[t, row, both:]
            if both > 0:
                add_product(arg, gates, asked)
                for row in range(batch):
                    value, here, let = values[row], arg[row], entered[row]
                    for j in range(both):
                        value[j] = logistic(asked[row, j])
                    for j in range(width):
                        let[j] = value[j] * here[j]
                add_product(entered, inner, new)
            else:
                add_product(arg, inner, new)
            for row in range(batch):
                value, here, fall = values[row, both:], arg[row], slope[row]
                for j in range(width):
                    value[j] = hyperbolic(new[row, j])
                for j in range(width):
                    fall[j] = value[j] - here[j]
                if both > 0:
                    closed = values[row, width:both]
                    for j in range(width):
                        fall[j] *= float32(1.0) - closed[j]
                else:
                    for j in range(width):
                        fall[j] *= share[j]
                if stage == 0:
                    total[row] = h[row]
                moved(total[row], fall, method[1, stage], total[row])
                if stage == stages - 1:
                    h[row] = total[row]
        y[t] = h


@contracted
def backward(
    dy: np.ndarray, gates: np.ndarray, inner: np.ndarray, share: np.ndarray, method: np.ndarray,
    args: np.ndarray, known: np.ndarray, slopes: np.ndarray, dshare: np.ndarray, dh: np.ndarray,
) -> None:  # fmt: skip
    """Slopes of the drives at every evaluation, of ``share`` and of h0.

    ``gates`` (2 W, W) and ``inner`` (W, W) are not transposed here; ``dshare`` (W,) and ``dh`` are
    zero at first.
    """
    steps, evaluations, batch, width = args.shape
    stages, both, one = method.shape[1], len(gates), float32(1.0)
    darg, dfall, dbase = np.zeros_like(dh), np.zeros_like(dh), np.zeros_like(dh)
    dlet, dnew, dasked = np.zeros_like(dh), np.zeros_like(dh), np.zeros((batch, both), float32)
    for t in range(steps - 1, -1, -1):
        for row in range(batch):
            moved(dh[row], dy[t, row], one, dh[row])
        for e in range(evaluations - 1, -1, -1):
            stage = e % stages
            arg, values, found = args[t, e], known[t, e], slopes[t, e]
            for row in range(batch):
                value, here, part = values[row, both:], arg[row], darg[row]
                fall, candidate = dfall[row], dnew[row]
                if stage == stages - 1:
                    dbase[row] = dh[row]
                    for j in range(width):
                        fall[j] = method[1, stage] * dh[row, j]
                else:
                    for j in range(width):
                        fall[j] = method[1, stage] * dh[row, j]
                    moved(fall, part, method[0, stage + 1], fall)
                if both > 0:
                    closed, asks = values[row, width:both], dasked[row, width:]
                    for j in range(width):
                        asks[j] = (here[j] - value[j]) * fall[j]
                    for j in range(width):
                        asks[j] *= closed[j] * (one - closed[j])
                    for j in range(width):
                        fall[j] *= one - closed[j]
                else:
                    for j in range(width):
                        dshare[j] += (value[j] - here[j]) * fall[j]
                    for j in range(width):
                        fall[j] *= share[j]
                for j in range(width):
                    candidate[j] = fall[j] * (one - value[j] * value[j])
                for j in range(width):
                    part[j] = -fall[j]
                found[row, both:] = candidate
            if both > 0:
                dlet[:] = float32(0.0)
                add_product(dnew, inner, dlet)
                for row in range(batch):
                    opened, here, let = values[row, :width], arg[row], dlet[row]
                    asks, part = dasked[row, :width], darg[row]
                    for j in range(width):
                        part[j] += let[j] * opened[j]
                    for j in range(width):
                        asks[j] = let[j] * here[j]
                    for j in range(width):
                        asks[j] *= opened[j] * (one - opened[j])
                    found[row, :both] = dasked[row]
                add_product(dasked, gates, darg)
            else:
                add_product(dnew, inner, darg)
            for row in range(batch):
                moved(dbase[row], darg[row], one, dbase[row])
                if stage == 0:
                    dh[row] = dbase[row]
