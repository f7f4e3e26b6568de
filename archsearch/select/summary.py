"""A search in a few numbers: what it spent, how its trials ended, the best and the typical one."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from archsearch.select.ranking import losses, measured, rank
from archsearch.spec.settings import Constraint, Objective
from archsearch.spec.trial import Trial


@dataclass(frozen=True)
class Summary:
    """``best`` and ``median`` are of the first objective; the median is over complete trials.

    A best far from the median is a search that found something; one close to it says that any
    candidate would have done. ``evaluations`` counts different networks that were trained,
    ``improved`` lists the index and value of each trial that was the best so far.
    """

    trials: int
    evaluations: int
    states: tuple[tuple[str, int], ...]
    best: float | None
    median: float | None
    improved: tuple[tuple[int, float], ...]
    cpu_seconds: float


def summary(
    trials: Sequence[Trial],
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint] = (),
) -> Summary:
    """The numbers of one study; what is not known is None."""
    first = objectives[:1]
    metric = objectives[0].metric
    values = [
        value
        for trial in trials
        if losses(trial, first) is not None and (value := measured(trial, metric)) is not None
    ]
    ranked = {trial.index: trial for trial in rank(trials, first, constraints)}
    improved: list[tuple[int, float]] = []
    for index in sorted(ranked):
        value = measured(ranked[index], metric)
        better = value is not None and (
            not improved or objectives[0].loss(value) < objectives[0].loss(improved[-1][1])
        )
        if value is not None and better:
            improved.append((index, value))
    return Summary(
        trials=len(trials),
        evaluations=len({trial.digest for trial in trials if trial.state.final}),
        states=tuple(sorted(Counter(str(trial.state) for trial in trials).items())),
        best=improved[-1][1] if improved else None,
        median=statistics.median(values) if values else None,
        improved=tuple(improved),
        cpu_seconds=sum(dict(t.outcome.timings).get("cpu_seconds", 0.0) for t in trials),
    )
