"""Which trials count, and in what order: a pure function of the records."""

from __future__ import annotations

import math
from collections.abc import Sequence

from archsearch.select.front import front_ranks
from archsearch.spec.settings import Constraint, Objective
from archsearch.spec.trial import Trial

TIE_BREAK = (Objective("loss", "min"), Objective("params", "min"))


def measured(trial: Trial, metric: str) -> float | None:
    """The finite value of a metric, or of a timing of that name; None when there is none."""
    value = trial.outcome.metric(metric)
    if value is None:
        value = dict(trial.outcome.timings).get(metric)
    return value if value is not None and math.isfinite(value) else None


def losses(trial: Trial, objectives: Sequence[Objective]) -> tuple[float, ...] | None:
    """The objectives as losses (less is better); None unless the trial is complete with all."""
    if not trial.state.has_value:
        return None
    values = [measured(trial, objective.metric) for objective in objectives]
    vector = tuple(o.loss(v) for o, v in zip(objectives, values, strict=True) if v is not None)
    return vector if len(vector) == len(objectives) else None


def feasible(trial: Trial, constraints: Sequence[Constraint]) -> bool:
    """Whether every constraint is known to hold; one on a metric nobody measured does not."""
    for constraint in constraints:
        value = measured(trial, constraint.metric)
        if value is None or not constraint.holds(value):
            return False
    return True


def rank(
    trials: Sequence[Trial],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint] = (),
    tie_break: Sequence[Objective] = TIE_BREAK,
) -> list[Trial]:
    """The complete and feasible trials, best first.

    With one objective they are ordered by it; with several by their non-dominated front, then by
    the first objective, then by the others in turn. Ties are broken by the ``tie_break`` metrics
    (a trial that lacks one comes after those that have it), then by index.
    """
    return [trial for trial, _ in rank_with_fronts(trials, objectives, constraints, tie_break)]


def rank_with_fronts(
    trials: Sequence[Trial],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint] = (),
    tie_break: Sequence[Objective] = TIE_BREAK,
) -> list[tuple[Trial, int]]:
    """The same, each trial with its non-dominated front: 0 is the Pareto front."""
    counted = [
        (trial, vector)
        for trial in trials
        if (vector := losses(trial, objectives)) is not None and feasible(trial, constraints)
    ]
    fronts = front_ranks([vector for _, vector in counted])

    def order(position: int) -> tuple[float, ...]:
        trial, vector = counted[position]
        ties = tuple(_tie(trial, objective) for objective in tie_break)
        return (fronts[position], *vector, *ties, trial.index)

    positions = sorted(range(len(counted)), key=order)
    return [(counted[position][0], fronts[position]) for position in positions]


def pareto_front(
    trials: Sequence[Trial],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint] = (),
) -> list[Trial]:
    """The trials that no other complete and feasible one dominates, by the first objective."""
    ranked = rank_with_fronts(trials, objectives, constraints)
    return [trial for trial, front in ranked if front == 0]


def finalists(
    trials: Sequence[Trial],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    count: int,
) -> list[Trial]:
    """The first ``count`` different architectures of the ranking, one trial for each."""
    chosen: dict[str, Trial] = {}
    for trial in rank(trials, objectives, constraints):
        if len(chosen) == count:
            break
        chosen.setdefault(trial.digest, trial)
    return list(chosen.values())


def _tie(trial: Trial, objective: Objective) -> float:
    value = measured(trial, objective.metric)
    return math.inf if value is None else objective.loss(value)
