"""What the best chain of each sequence would be worth, were it known, and what luck alone gives.

With labels in the reward, a set of many different answers contains the right one by chance: none
of these numbers is what a deployed model reaches, and each stands beside its null rate.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from archsearch.adapt.chain import Chain
from archsearch.adapt.labels.graded import Graded

TITLE = "oracle (uses labels)"
DRAWS = 64


@dataclass(frozen=True)
class Oracle:
    """Shares of sequences, each with the null rate that it must be seen beside; None: undefined.

    ``plain`` are answered right by the network, ``reached`` by some chain; ``shorter`` of those
    right have a right chain that applies less, ``fixed`` of those wrong have a right chain.
    ``null_*`` are the same for a wrong label drawn at random: how often some chain (a shorter
    one) gives that answer. ``noise_*`` are ``reached`` and ``fixed`` of as many draws of noise on
    the network's logits, which change as many answers as the chains do. ``independent`` is
    1 - (1 - 1/C)^K with K the number of independent chains that flip like these.
    ``shortest`` is the mean number of layers of the cheapest right chain.
    """

    sequences: int
    chains: int
    classes: int
    plain: float
    reached: float
    null_reached: float | None
    noise_reached: float
    independent: float
    shorter: float | None
    null_shorter: float | None
    fixed: float | None
    null_fixed: float | None
    noise_fixed: float | None
    excess: float | None
    shortest: float | None

    def to_plain(self) -> dict[str, float | None]:
        return asdict(self)


def oracle(
    graded: Graded, plain: Chain, logits: np.ndarray, seed: int = 0, draws: int = DRAWS
) -> Oracle:
    """The table of all graded chains; ``logits`` (sequences, classes) are the network's own.

    Null rates of random labels are exact means over all wrong labels.
    """
    assert graded.said is not None
    assert graded.wanted is not None
    classes, at = logits.shape[1], graded.place(plain)
    right, base = graded.right, graded.said[:, at]
    correct = base == graded.wanted
    cheaper = graded.costs < graded.costs[at]
    # for each class, whether some chain answers with it: (sequences, classes)
    reaches = _reached(graded.said, classes)
    shortly = _reached(graded.said[:, cheaper], classes)
    rows = np.arange(len(correct))
    wrong = np.ones_like(reaches)
    wrong[rows, graded.wanted] = False
    # a network that errs has given one wrong answer already; the null is yet another label
    other = wrong.copy()
    other[rows, base] = False
    noise, noise_fixed = _noise(graded, at, logits, np.random.default_rng(seed), draws)
    fixed = _mean(right.any(1)[~correct])
    null_fixed = _mean(_share(reaches, other)[~correct])
    cheapest = np.where(right, graded.costs, np.inf).min(1)
    return Oracle(
        sequences=len(correct),
        chains=len(graded.chains),
        classes=classes,
        plain=float(correct.mean()),
        reached=float(right.any(1).mean()),
        null_reached=_mean(_share(reaches, wrong)),
        noise_reached=noise,
        independent=chance_of(classes, independent(graded.said != base[:, None])),
        shorter=_mean(right[:, cheaper].any(1)[correct]),
        null_shorter=_mean(_share(shortly, wrong)[correct]),
        fixed=fixed,
        null_fixed=null_fixed,
        noise_fixed=noise_fixed,
        excess=None if fixed is None or null_fixed is None else fixed - null_fixed,
        shortest=_mean(cheapest[np.isfinite(cheapest)]),
    )


def chance_of(classes: int, tries: float) -> float:
    """That one of so many independent uniform answers is right: 1 - (1 - 1/C)^K."""
    return 1 - (1 - 1 / classes) ** tries


def independent(flips: np.ndarray) -> float:
    """How many independent chains would flip answers as these do, (sequences, chains).

    K / (1 + (K - 1) r) with r the mean correlation between two that ever flip (Kish 1965).
    """
    moving = flips[:, flips.any(0) & ~flips.all(0)].astype(float)
    count = moving.shape[1]
    if count < 2:
        return float(count)
    standard = (moving - moving.mean(0)) / moving.std(0)
    # the mean over all pairs from the variance of the sum
    total = float((standard.sum(1) ** 2).mean())
    mean = max(0.0, (total - count) / (count * (count - 1)))
    return count / (1 + (count - 1) * mean)


def _noise(
    graded: Graded, at: int, logits: np.ndarray, rng: np.random.Generator, draws: int
) -> tuple[float, float | None]:
    """Shares reached and fixed by noisy copies of the network, as many as there are other chains.

    The deviation of the noise is found by bisection over ``draws`` draws.
    """
    assert graded.said is not None
    assert graded.wanted is not None
    base, count = graded.said[:, at], len(graded.chains)
    flips = float((graded.said != base[:, None]).mean()) * count / max(count - 1, 1)
    trial = rng.standard_normal((draws, *logits.shape))

    def flipped(deviation: float) -> float:
        return float(((logits + deviation * trial).argmax(-1) != base).mean())

    low, high = 0.0, 1e4
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if flipped(middle) < flips else (low, middle)
    reached = base == graded.wanted
    correct = reached.copy()
    for _ in range(count - 1):
        noisy = logits + high * rng.standard_normal(logits.shape)
        reached |= noisy.argmax(-1) == graded.wanted
    return float(reached.mean()), _mean(reached[~correct])


def _reached(said: np.ndarray, classes: int) -> np.ndarray:
    found = np.zeros((len(said), classes), dtype=bool)
    for label in range(classes):
        found[:, label] = (said == label).any(1)
    return found


def _share(reaches: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of each sequence's labels the share that is reached; no number where there is none."""
    count = labels.sum(1)
    found = (reaches & labels).sum(1)
    return np.where(count > 0, found / np.maximum(count, 1), math.nan)


def _mean(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values.astype(float))]
    return float(known.mean()) if len(known) else None
