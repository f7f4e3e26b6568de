"""How far a knob may be turned under a guarantee, which holds for data like the calibration data.

Losses are (n, settings) numbers from 0 to 1, one row for each of n independent sequences and one
column for each place of the knob, the safest first; the first is the network itself, whose loss is
zero by definition.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

Method: TypeAlias = Literal["ltt", "crc"]


@dataclass(frozen=True)
class Certificate:
    """What was promised, for places of the knob up to ``setting``.

    "ltt": with probability at least 1 - ``epsilon`` over the calibration data, the risk is at most
    ``delta``. "crc": the risk, averaged over calibration data, is at most ``delta``; it knows no
    ``epsilon``. ``risk`` says what a loss is, ``threshold`` what the knob stands for at the place,
    ``n`` how many sequences it rests on, and ``losses`` are their means at all places.
    """

    method: Method
    risk: str
    delta: float
    epsilon: float | None
    setting: int
    threshold: str
    n: int
    losses: tuple[float, ...]

    @property
    def words(self) -> str:
        what = "answers differ" if self.risk == "differs" else "right answers are lost"
        if self.method == "crc":
            return f"{what} with probability at most {self.delta:g} on average (n = {self.n})"
        sure = 1 - (self.epsilon or 0.0)
        return f"{what} with probability at most {self.delta:g}, {sure:.0%} sure (n = {self.n})"

    def to_plain(self) -> dict[str, Any]:
        return {**asdict(self), "losses": list(self.losses)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Certificate:
        """The inverse; KeyError, TypeError or ValueError for anything malformed."""
        if plain["method"] not in ("ltt", "crc") or plain["risk"] not in ("differs", "loses"):
            raise ValueError("expected ltt or crc, of differs or loses")
        if type(plain["setting"]) is not int or type(plain["n"]) is not int:
            raise TypeError("expected whole numbers as setting and n")
        epsilon = plain["epsilon"]
        return cls(
            plain["method"],
            plain["risk"],
            float(plain["delta"]),
            None if epsilon is None else float(epsilon),
            plain["setting"],
            str(plain["threshold"])[:100],
            plain["n"],
            tuple(float(loss) for loss in plain["losses"]),
        )


def learn_then_test(losses: np.ndarray, delta: float, epsilon: float) -> int:
    """The last place of the knob that is certified, by fixed-sequence testing.

    From the safest on, each hypothesis "the risk is above delta" is tested at level epsilon; the
    first that is not rejected ends it (Angelopoulos et al. 2021, arXiv 2110.01052).
    """
    for setting in range(1, losses.shape[1]):
        if p_value(losses[:, setting], delta) > epsilon:
            return setting - 1
    return losses.shape[1] - 1


def conformal_risk(losses: np.ndarray, delta: float) -> int:
    """The last place at which the expected risk is at most delta (arXiv 2208.02814, theorem 1).

    It asks for losses that never fall along the knob: each is taken as the largest so far.
    """
    n = len(losses)
    means = np.maximum.accumulate(losses, axis=1).mean(0)
    bounds = n / (n + 1) * means + 1 / (n + 1)
    held = np.flatnonzero(bounds > delta)
    last = losses.shape[1] - 1 if not len(held) else int(held[0]) - 1
    # the network itself loses nothing, however few sequences there are
    return max(0, last)


def p_value(losses: np.ndarray, delta: float) -> float:
    """Of the hypothesis that the mean of what losses are drawn from is above delta.

    Exact for losses of 0 and 1, P(Bin(n, delta) <= k). For others the smaller of Hoeffding's and
    Bentkus' bounds (arXiv 2101.02703, equation 10).
    """
    # as long to load as the rest of a command that predicts, which certifies nothing
    from scipy.stats import binom

    n, total = len(losses), float(losses.sum(dtype=np.float64))
    if ((losses == 0) | (losses == 1)).all():
        return float(binom.cdf(round(total), n, delta))
    mean = total / n
    bentkus = math.e * float(binom.cdf(math.ceil(total - 1e-9), n, delta))
    return min(1.0, bentkus, math.exp(-n * _divergence(min(mean, delta), delta)))


def _divergence(a: float, b: float) -> float:
    """Kullback and Leibler's, of two coins."""
    first = a * math.log(a / b) if a > 0 else 0.0
    return first + ((1 - a) * math.log((1 - a) / (1 - b)) if a < 1 else 0.0)
