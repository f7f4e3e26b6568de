"""What a trial is worth: its objectives as losses, its constraints as violations, all finite."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

from archsearch.spec.settings import Constraint, Objective
from archsearch.spec.trial import Outcome


def measured(outcome: Outcome, name: str) -> float | None:
    """The metric, or else the timing, of that name; None when it is missing or not finite."""
    value = outcome.metric(name)
    if value is None:
        value = dict(outcome.timings).get(name)
    return float(value) if value is not None and math.isfinite(value) else None


def losses(outcome: Outcome, objectives: Sequence[Objective]) -> tuple[float, ...] | None:
    """One loss for each objective (less is better); None unless all are known and finite."""
    values = [measured(outcome, objective.metric) for objective in objectives]
    if any(value is None for value in values):
        return None
    return tuple(
        objective.loss(value)
        for objective, value in zip(objectives, values, strict=True)
        if value is not None
    )


def violations(outcome: Outcome, constraints: Sequence[Constraint]) -> tuple[float, ...] | None:
    """How far each bound is missed, as a share of the bound; 0 where it holds.

    None unless all are known and finite. Shares make bounds of different units comparable.
    """
    found = []
    for constraint in constraints:
        value = measured(outcome, constraint.metric)
        if value is None:
            return None
        if constraint.holds(value):
            found.append(0.0)
        else:
            # a strict bound that is just met is missed by nothing, yet it is missed
            excess = constraint.excess(value) / (abs(constraint.bound) or 1.0)
            found.append(min(max(excess, sys.float_info.min), sys.float_info.max))
    return tuple(found)
