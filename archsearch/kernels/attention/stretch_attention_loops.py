"""The exponential of scores in one pass, in place."""

from __future__ import annotations

from functools import partial

import numpy as np

from archsearch.kernels.compiled import compiled
from archsearch.kernels.vector_math import exponential


@partial(compiled, contracted=True)
def exponentials(scores: np.ndarray, highest: np.ndarray) -> None:
    """exp(s - h) for rows (R, n) and (R,) in single precision, exactly zero where it is tiny."""
    lowest, zero = np.float32(-87.0), np.float32(0.0)
    for row in range(len(scores)):
        for j in range(scores.shape[1]):
            power = scores[row, j] - highest[row]
            scores[row, j] = zero if power < lowest else exponential(power)
