"""The losses of memories that learn, their activation, and the slopes of both.

The errors of a position are a vector in lanes, as in
:mod:`archsearch.kernels.memories.descent.descent_products`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy import float32

from archsearch.kernels.inlined import inlined
from archsearch.kernels.lanes import WIDTH
from archsearch.kernels.memories.descent.descent_products import dot
from archsearch.kernels.memories.descent.descent_rule import SHARPNESS
from archsearch.kernels.tiles import store
from archsearch.kernels.vector_math import exponential, hyperbolic

ONE, HALF, TWO, STEEP = float32(1.0), float32(0.5), float32(2.0), float32(SHARPNESS)
DENSITY = float32((2 * math.pi) ** -0.5)
# of the error function (Abramowitz & Stegun 1964, equation 7.1.26), of x over the root of two
NEAR = float32(0.3275911 * 2**-0.5)


@inlined
def halves(size: float32, bell: float32) -> float32:
    """The normal distribution above ``size`` >= 0, ``bell`` = exp(-size^2 / 2); to 1e-7."""
    t = ONE / (ONE + NEAR * size)
    sums = float32(1.061405429) * t + float32(-1.453152027)
    sums = sums * t + float32(1.421413741)
    sums = sums * t + float32(-0.284496736)
    sums = sums * t + float32(0.254829592)
    return HALF * sums * t * bell


@inlined
def activate(x: np.ndarray, active: np.ndarray, slope: np.ndarray, bend: np.ndarray) -> None:
    """gelu(x), its slope and the slope of that."""
    for n in range(len(x)):
        here = x[n]
        bell = exponential(-HALF * here * here)
        above = halves(abs(here), bell)
        below = ONE - above if here >= 0 else above
        density = DENSITY * bell
        active[n] = here * below
        slope[n] = below + here * density
        bend[n] = density * (TWO - here * here)


@inlined
def lengths(x: np.ndarray, at: int, span: int, found: np.ndarray) -> None:
    """The length of a vector in each lane."""
    store(found, 0, 0, dot(x, at, x, at, span))
    for lane in range(WIDTH):
        found[lane] = np.sqrt(found[lane])


@inlined
def error_of(
    apart: np.ndarray, bound: np.ndarray, p: int, outliers: bool, bounded: bool, room: np.ndarray,
    error: np.ndarray, long: np.ndarray,
) -> None:  # fmt: skip
    """The loss's gradient for M(k) - v, ``long`` (WIDTH,) its length before it is cut."""
    span = len(apart)
    if outliers:
        lengths(apart, 0, span, room)
        for i in range(0, span, WIDTH):
            for lane in range(WIDTH):
                here = apart[i + lane]
                sign = bound[lane] * hyperbolic(STEEP * here)
                error[i + lane] = sign if room[lane] > bound[lane] else here
    else:
        for n in range(span):
            error[n] = apart[n]
        for _ in range(p - 2):
            for n in range(span):
                error[n] *= abs(apart[n])
    if bounded:
        lengths(error, 0, span, long)
        for lane in range(WIDTH):
            # a comparison that is false lets a missing number through
            room[lane] = ONE if long[lane] < ONE else long[lane]
        for i in range(0, span, WIDTH):
            for lane in range(WIDTH):
                error[i + lane] /= room[lane]


@inlined
def error_slope(
    apart: np.ndarray, bound: np.ndarray, p: int, outliers: bool, bounded: bool, room: np.ndarray,
    error: np.ndarray, long: np.ndarray, slope: np.ndarray, dbound: np.ndarray,
) -> None:  # fmt: skip
    """``slope`` is that of the error, then that of M(k) - v; ``dbound`` (WIDTH,) is written."""
    span = len(apart)
    if bounded:
        store(room, 0, 0, dot(error, 0, slope, 0, span))
        for lane in range(WIDTH):
            cut = long[lane] >= ONE
            room[lane] = room[lane] if cut else float32(0.0)
            long[lane] = ONE if long[lane] < ONE else long[lane]
        for i in range(0, span, WIDTH):
            for lane in range(WIDTH):
                slope[i + lane] = (slope[i + lane] - error[i + lane] * room[lane]) / long[lane]
    dbound[:] = float32(0.0)
    if outliers:
        lengths(apart, 0, span, room)
        for i in range(0, span, WIDTH):
            for lane in range(WIDTH):
                sign = hyperbolic(STEEP * apart[i + lane])
                given = slope[i + lane]
                far = room[lane] > bound[lane]
                dbound[lane] += given * sign if far else float32(0.0)
                steep = given * bound[lane] * STEEP * (ONE - sign * sign)
                slope[i + lane] = steep if far else given
    elif p > 2:
        for _ in range(p - 2):
            for n in range(span):
                slope[n] *= abs(apart[n])
        for n in range(span):
            slope[n] *= float32(p - 1)
