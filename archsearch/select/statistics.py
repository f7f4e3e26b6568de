"""The numbers behind a claim: intervals, paired tests, corrections, effect sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
MOST_EXACT = 20


@dataclass(frozen=True)
class Paired:
    """What paired differences say of their mean.

    ``interval`` (95 %) and ``effect`` are None where they are undefined: an interval needs two
    pairs, an effect needs differences that differ. ``p_t`` is the two-sided paired t-test,
    ``p_flip`` the exact two-sided sign-flip test; ``p_value`` is the one to use: the t-test, or
    the sign-flip test where the differences do not vary and the t-test would claim certainty.
    """

    count: int
    mean: float
    interval: tuple[float, float] | None
    p_t: float | None
    p_flip: float | None
    p_value: float | None
    effect: float | None


def mean_interval(
    values: Sequence[float], extent: tuple[float, float] = (-math.inf, math.inf)
) -> tuple[float, float] | None:
    """The 95 % t interval of the mean; None for fewer than two values.

    Where the values cannot leave an ``extent``, neither can their mean: the part of the interval
    outside covers nothing, and is cut off. One that a value does leave is not believed.
    """
    if len(values) < 2:
        return None
    array = np.asarray(values, dtype=np.float64)
    center = float(array.mean())
    half = _critical(len(array) - 1) * _deviation(array)
    half /= math.sqrt(len(array))
    low, high = extent
    if array.min() < low or array.max() > high:
        return center - half, center + half
    return max(center - half, low), min(center + half, high)


def paired(differences: Sequence[float], scale: float = 0.0, widest: float = math.inf) -> Paired:
    """Test whether the mean of paired differences is zero; needs at least one pair.

    ``scale`` is the size of the numbers subtracted: a spread within their rounding is none.
    ``widest`` is the largest difference that there can be; the interval ends there.
    """
    array = np.asarray(differences, dtype=np.float64)
    count, mean = len(array), float(array.mean())
    if count < 2:
        return Paired(count, mean, None, None, None, None, None)
    deviation = _deviation(array, scale)
    flip = sign_flip(differences)
    if deviation == 0.0:
        effect = 0.0 if _rounding(array, scale) >= abs(mean) else None
        p_value = 1.0 if effect == 0.0 else flip
        return Paired(count, mean, (mean, mean), None, flip, p_value, effect)
    error = deviation / math.sqrt(count)
    p_t = 2 * _below(-abs(mean) / error, count - 1)
    half = _critical(count - 1) * error
    most = max(widest, float(np.abs(array).max()))
    interval = max(mean - half, -most), min(mean + half, most)
    return Paired(count, mean, interval, p_t, flip, p_t, mean / deviation)


def sign_flip(differences: Sequence[float]) -> float | None:
    """The exact two-sided p-value under random signs of the differences; None above 20 pairs.

    It assumes nothing but that each difference is as likely to have either sign; with n pairs it
    cannot be less than 2^(1-n) (Fisher 1935).
    """
    if len(differences) > MOST_EXACT:
        return None
    sums: NDArray[np.float64] = np.zeros(1)
    for difference in differences:
        sums = np.concatenate([sums + difference, sums - difference])
    observed = abs(math.fsum(differences))
    slack = 1e-12 * float(np.abs(sums).max())
    return float(np.mean(np.abs(sums) >= observed - slack))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for being several, by Holm's step-down method (1979)."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    order = sorted(range(len(p_values)), key=lambda position: p_values[position])
    for done, position in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - done) * p_values[position]))
        corrected[position] = largest
    return corrected


def _critical(freedom: int) -> float:
    """Half the width of the interval in standard errors, by Student's t."""
    # scipy takes its time to load, and most commands compute no interval
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.5 + CONFIDENCE / 2))


def _below(value: float, freedom: int) -> float:
    """The probability that Student's t is less."""
    from scipy.special import stdtr

    return float(stdtr(freedom, value))


def _deviation(array: NDArray[np.float64], scale: float = 0.0) -> float:
    deviation = float(array.std(ddof=1))
    return 0.0 if deviation <= _rounding(array, scale) else deviation


def _rounding(array: NDArray[np.float64], scale: float) -> float:
    return 1e-12 * max(scale, float(np.abs(array).max()))
