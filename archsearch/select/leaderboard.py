"""The rows of a table of trials: what a person sees of a study, best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archsearch.select.ranking import measured, rank_with_fronts
from archsearch.spec.settings import Constraint, Objective
from archsearch.spec.trial import State, Trial


@dataclass(frozen=True)
class Row:
    """One trial in the table.

    ``place`` counts from 1 among the trials that may win; it is None for every other trial, and
    ``why`` then says in words what is missing. ``front`` is the non-dominated front (0 is the
    Pareto front), None without a place or with one objective only. ``repeats`` is
    the index of the best placed trial of the same network, None when this is it.
    """

    place: int | None
    index: int
    title: str
    digest: str
    state: State
    front: int | None
    metrics: tuple[tuple[str, float], ...]
    timings: tuple[tuple[str, float], ...]
    repeats: int | None
    why: str

    def value(self, metric: str) -> float | None:
        return dict(self.timings + self.metrics).get(metric)


def rows(
    trials: Sequence[Trial],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint] = (),
    limit: int | None = None,
) -> list[Row]:
    """The ranked trials, then the others by index; at most ``limit`` rows."""
    ranked = rank_with_fronts(trials, objectives, constraints)
    several = len(objectives) > 1
    first: dict[str, int] = {}
    for trial, _ in ranked:
        first.setdefault(trial.digest, trial.index)
    placed = {trial.index for trial, _ in ranked}
    rest = sorted((t for t in trials if t.index not in placed), key=lambda trial: trial.index)
    table = [
        _row(trial, place, front if several else None, first, "")
        for place, (trial, front) in enumerate(ranked, start=1)
    ]
    table += [
        _row(trial, None, None, first, shortcoming(trial, objectives, constraints))
        for trial in rest
    ]
    return table if limit is None else table[:limit]


def shortcoming(
    trial: Trial, objectives: Sequence[Objective], constraints: Sequence[Constraint]
) -> str:
    """Why a trial cannot win, in words; empty when it can."""
    if not trial.state.has_value:
        message = trial.outcome.message
        return f"{trial.state}: {message}" if message else str(trial.state)
    for objective in objectives:
        if measured(trial, objective.metric) is None:
            return f"no value of {objective.metric}"
    for constraint in constraints:
        value = measured(trial, constraint.metric)
        if value is None:
            return f"no value of {constraint.metric}"
        if not constraint.holds(value):
            bound = f"{constraint.metric} {constraint.operator} {_told(constraint.bound)}"
            return f"{constraint.metric} is {_told(value)}, expected {bound}"
    return ""


def _row(
    trial: Trial, place: int | None, front: int | None, first: dict[str, int], why: str
) -> Row:
    original = first.get(trial.digest, trial.index)
    return Row(
        place=place,
        index=trial.index,
        title=trial.architecture.title,
        digest=trial.digest,
        state=trial.state,
        front=front,
        metrics=trial.outcome.metrics,
        timings=trial.outcome.timings,
        repeats=None if original == trial.index else original,
        why=why,
    )


def _told(value: float) -> str:
    """A whole number to its last digit, for a bound may be missed by one."""
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:g}"
