"""Whether the places of a learned mask matter, or only how many weights each matrix has.

The finalist is compared over the same seeds with random masks of its own sizes: with their mean,
which is what one of them is worth, and with the best of them. Picking the best by the very values
it is judged by would flatter it, so for every seed it is picked by the other seeds (after Farahani
2024, arXiv 2403.08265, who found searched masks no better than random ones).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from archsearch.select.ranking import measured
from archsearch.select.statistics import CONFIDENCE, Paired, mean_interval, paired
from archsearch.spec.settings import Objective
from archsearch.spec.trial import Trial

Values = Sequence[float | None]


def mask_role(finalist: str, number: int) -> str:
    """What the trials of a mask are called."""
    return f"{finalist}, random mask {number + 1}"


@dataclass(frozen=True)
class Places:
    """A finalist against random masks of its sizes; differences are positive where it is better.

    ``values`` are those of each mask for each seed, ``mean`` and ``interval`` are over seeds, of
    the mean of the masks. ``one`` is the difference to that mean, ``best`` to the best mask; each
    is None without a pair. ``corrected`` is the larger of their p-values: what is claimed is
    claimed of both, so that it is wrong no more often than the test of ``one``, whatever the choice
    of a best mask does to the other test.
    """

    finalist: str
    values: tuple[tuple[float | None, ...], ...]
    mean: float | None
    interval: tuple[float, float] | None
    one: Paired | None
    best: Paired | None
    corrected: float | None
    finding: Literal["places", "numbers", "worse", "one seed"]

    @property
    def masks(self) -> int:
        return len(self.values)


def places_of(
    trials: Sequence[Trial], finalist: str, confirmed: Sequence[Trial], objective: Objective
) -> Places | None:
    """What trials of random masks say of a finalist; None where none of them is in its place."""
    seeds = list(dict.fromkeys(trial.seed for trial in confirmed))
    found = {
        (trial.role, trial.seed): measured(trial, objective.metric)
        for trial in (*confirmed, *trials)
        if trial.state.has_value
    }
    known = {trial.role for trial in trials}
    roles: list[str] = []
    while (role := mask_role(finalist, len(roles))) in known:
        roles.append(role)
    if not roles:
        return None
    own, *masks = ([found.get((role, seed)) for seed in seeds] for role in (finalist, *roles))
    return weigh_places(finalist, own, masks, objective)


def weigh_places(
    finalist: str, own: Values, masks: Sequence[Values], objective: Objective
) -> Places:
    """``own`` are the finalist's values and each of ``masks`` those of one mask, by seed.

    A run that failed is None, and its seed is left out.
    """
    gains_one, gains_best, means, scale = [], [], [], 0.0
    for seed, value in enumerate(own):
        there = [mask[seed] for mask in masks]
        known = [other for other in there if other is not None]
        if value is None or not known:
            continue
        means.append(math.fsum(known) / len(known))
        gains_one.append(objective.loss(means[-1]) - objective.loss(value))
        scale = max(scale, abs(value), *map(abs, known))
        if (held := _held_out(masks, seed, objective)) is not None:
            gains_best.append(objective.loss(held) - objective.loss(value))
    one = paired(gains_one, scale, objective.widest) if gains_one else None
    best = paired(gains_best, scale, objective.widest) if gains_best else None
    corrected = None
    if one is not None and best is not None and None not in (one.p_value, best.p_value):
        corrected = max(best.p_value or 0.0, one.p_value or 0.0)
    return Places(
        finalist,
        tuple(tuple(mask) for mask in masks),
        math.fsum(means) / len(means) if means else None,
        mean_interval(means, objective.extent),
        one,
        best,
        corrected,
        _finding(one, best, corrected),
    )


def _held_out(masks: Sequence[Values], seed: int, objective: Objective) -> float | None:
    """The value at a seed of the mask that is the best on the others; the first of equals."""
    found: list[tuple[float, int, float]] = []
    for number, mask in enumerate(masks):
        here = mask[seed]
        others = [v for place, v in enumerate(mask) if place != seed and v is not None]
        if here is not None and others:
            found.append((objective.loss(math.fsum(others) / len(others)), number, here))
    return min(found)[2] if found else None


def _finding(
    one: Paired | None, best: Paired | None, corrected: float | None
) -> Literal["places", "numbers", "worse", "one seed"]:
    if one is None or best is None or corrected is None:
        return "one seed"
    if corrected >= 1 - CONFIDENCE or one.mean * best.mean <= 0:
        return "numbers"
    return "places" if best.mean > 0 else "worse"
