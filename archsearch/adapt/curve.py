"""Accuracy against compute: curves, the area under them, and intervals from paired bootstraps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from archsearch.adapt.measured import Measured
from archsearch.depth.area import area

DRAWS = 1000
LOW, HIGH = 2.5, 97.5


@dataclass(frozen=True)
class Point:
    """One place of a knob on test: the mean compute and score, and the score's 95 % interval.

    ``gain`` over the best static chains at the same mean compute, sequence by sequence, with its
    interval; None where nothing static costs as little.
    """

    setting: int
    compute: float
    score: float
    interval: tuple[float, float]
    gain: float | None = None
    gain_interval: tuple[float, float] | None = None

    def to_plain(self) -> dict[str, Any]:
        plain = asdict(self) | {"interval": list(self.interval)}
        if self.gain_interval is not None:
            plain["gain_interval"] = list(self.gain_interval)
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Point:
        """The inverse; KeyError, TypeError or ValueError for anything malformed."""
        interval, gains = plain["interval"], plain["gain_interval"]
        gain = plain["gain"]
        return cls(
            int(plain["setting"]),
            float(plain["compute"]),
            float(plain["score"]),
            (float(interval[0]), float(interval[1])),
            None if gain is None else float(gain),
            None if gains is None else (float(gains[0]), float(gains[1])),
        )


def resampled(n: int, draws: int, seed: int) -> np.ndarray:
    """How often each of n sequences is in each bootstrap sample, as shares, (draws, n)."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1 / n), size=draws) / n


def curve(found: Measured, static: Measured | None, shares: np.ndarray) -> tuple[Point, ...]:
    """A point for each place of the knob; ``shares`` as :func:`resampled` gives them."""
    points = []
    for setting in range(found.settings):
        score, compute = found.score[:, setting], float(found.compute[:, setting].mean())
        gain = gained = None
        if static is not None and (base := between(static, compute)) is not None:
            difference = score - base
            gain, gained = float(difference.mean()), interval(shares @ difference)
        points.append(
            Point(setting, compute, float(score.mean()), interval(shares @ score), gain, gained)
        )
    return tuple(points)


def between(static: Measured, compute: float) -> np.ndarray | None:
    """Each sequence's expected score if two neighbouring static chains are mixed to a compute.

    None below the cheapest.
    """
    costs = static.compute.mean(0)
    order = np.argsort(costs, kind="stable")
    if compute < costs[order[0]] - 1e-9:
        return None
    above = [place for place in order if costs[place] >= compute - 1e-9]
    below = [place for place in order if costs[place] <= compute + 1e-9]
    if not above:
        return static.score[:, below[-1]]
    one, other = below[-1], above[0]
    span = costs[other] - costs[one]
    part = 0.0 if span <= 0 else (compute - costs[one]) / span
    return (1 - part) * static.score[:, one] + part * static.score[:, other]


def areas(found: Measured, least: np.ndarray, shares: np.ndarray) -> tuple[float, np.ndarray]:
    """The area and those of the bootstrap samples; ``least`` (n,) is the score of no layer."""
    whole = area(found.score.mean(0), found.compute.mean(0), float(least.mean()))
    scores, computes, leasts = shares @ found.score, shares @ found.compute, shares @ least
    drawn = [area(s, c, float(low)) for s, c, low in zip(scores, computes, leasts, strict=True)]
    return whole, np.array(drawn)


def interval(draws: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(draws, [LOW, HIGH])
    return float(low), float(high)
