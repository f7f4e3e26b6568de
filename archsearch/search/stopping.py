"""Who stops: limits on learning curves, drawn from the curves of earlier trials."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from archsearch.search.declared import STOPPING
from archsearch.search.fronts import ranks
from archsearch.search.losses import measured
from archsearch.spec.architecture import Layer
from archsearch.spec.catalog import Catalog
from archsearch.spec.settings import Objective
from archsearch.spec.trial import Limit, Outcome, State, Trial

_CATALOG = Catalog(STOPPING)
_TELLING = (State.COMPLETE, State.STOPPED, State.DIVERGED)


@dataclass(frozen=True)
class Path:
    """One trial's loss vectors by step; ``cut`` if it was stopped or diverged at the last step."""

    vectors: dict[int, tuple[float, ...]]
    last: int
    cut: bool


def limits(
    layer: Layer, history: Sequence[Trial], objectives: Sequence[Objective]
) -> tuple[Limit, ...]:
    """What the next trial must keep up with, step by step; empty while too little is known.

    A vector holds one loss for each objective: from the curve where the metric is learnt, from the
    trial's metrics where training does not change it (parameters, operations, state). At a step
    with n vectors of which k shall pass, the limit is the first front up to which k of them lie:
    whoever is dominated by a point of it stops. With one objective that is to be worse than the
    k-th best. A trial that is better than all is dominated by none, so it never stops, and nobody
    stops at the last step. Trials that crashed, ran out of time or of memory say nothing, for on
    another machine they might not have.
    """
    if layer.name == "none":
        return ()
    options: dict[str, Any] = dict(_CATALOG.complete("stopping", layer).options)
    recent = history[max(0, len(history) - options["window"]) :]
    paths = [
        Path(vectors, max(vectors), trial.state is not State.COMPLETE)
        for trial in recent
        if trial.state in _TELLING and (vectors := _vectors(trial.outcome, objectives))
    ]
    if not paths:
        return ()
    del options["window"]
    return median(paths, **options) if layer.name == "median" else halving(paths, **options)


def median(paths: Sequence[Path], *, warmup: int, after: float) -> tuple[Limit, ...]:
    """Half of all trials pass each step; whoever was cut before it counts as worse.

    Without that count each step would halve the survivors of the last, and few would be left.
    """
    end = max(path.last for path in paths)
    steps = [step for step in _steps(paths) if after * end <= step < end]
    found = []
    for step in steps:
        worse = sum(path.cut and path.last < step for path in paths)
        found.append(_limit(step, paths, 2, warmup, worse))
    return _known(found)


def halving(paths: Sequence[Path], *, eta: int, rungs: int, warmup: int) -> tuple[Limit, ...]:
    """One in ``eta`` of those that reach a rung passes it.

    Rungs stand at the first reports from 1/eta, 1/eta^2, ... of the training on.
    """
    end = max(path.last for path in paths)
    steps = [step for step in _steps(paths) if step < end]
    marks = [end / eta**rung for rung in range(1, rungs + 1)]
    reached = {next((step for step in steps if step >= mark), None) for mark in marks}
    chosen = sorted(step for step in reached if step is not None)
    return _known(_limit(step, paths, eta, warmup, 0) for step in chosen)


def _steps(paths: Sequence[Path]) -> list[int]:
    return sorted(set().union(*(path.vectors for path in paths)))


def _limit(step: int, paths: Sequence[Path], portion: int, warmup: int, worse: int) -> Limit | None:
    """The front that one in ``portion`` reaches, among those at ``step`` and ``worse`` others."""
    vectors = [path.vectors[step] for path in paths if step in path.vectors]
    total = len(vectors) + worse
    passing = -(-total // portion)
    if total < warmup or len(vectors) < passing:
        return None
    found = ranks(vectors, passing)
    rank = sorted(found)[passing - 1]
    front = {vector for vector, its in zip(vectors, found, strict=True) if its == rank}
    return Limit(step, tuple(sorted(front)))


def _known(found: Iterable[Limit | None]) -> tuple[Limit, ...]:
    return tuple(limit for limit in found if limit is not None)


def _vectors(outcome: Outcome, objectives: Sequence[Objective]) -> dict[int, tuple[float, ...]]:
    """The loss vector at each step where every objective is known and finite."""
    fixed = {objective.metric: measured(outcome, objective.metric) for objective in objectives}
    found = {}
    for step, metrics in outcome.curve:
        values = {**fixed, **dict(metrics)}
        vector = tuple(
            objective.loss(value)
            for objective in objectives
            if (value := values[objective.metric]) is not None and math.isfinite(value)
        )
        if len(vector) == len(objectives):
            found[step] = vector
    return found
