"""The area under a curve of how good a network is against how much of it was applied."""

from __future__ import annotations

import numpy as np


def area(score: np.ndarray, compute: np.ndarray, least: float) -> float:
    """Under the curve through (compute, score), as a mean over compute from 0 to 1.

    Of points at equal compute the best counts. At compute 0 stands ``least``, the score of the
    chain that applies nothing, which every policy could fall back to.
    """
    points: dict[float, float] = {0.0: least}
    for x, y in zip(np.clip(compute, 0.0, 1.0).tolist(), score.tolist(), strict=True):
        points[x] = max(y, points.get(x, -np.inf))
    xs = np.array(sorted(points))
    ys = np.array([points[x] for x in xs])
    # beyond the dearest point nothing is gained
    xs, ys = np.append(xs, 1.0), np.append(ys, ys[-1])
    return float(np.trapezoid(ys, xs))
