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


class Stopping:
    """The stopping rule that ``layer`` names, with its options; SpaceError for an unknown one."""

    def __init__(self, layer: Layer, objectives: Sequence[Objective]) -> None:
        self._name = layer.name
        declared = _CATALOG.find("stopping", layer.name)
        self._options: dict[str, Any] = {**declared.settings(layer)}
        self._window: int = self._options.pop("window", 0)
        self._objectives = tuple(objectives)
        self._read: dict[int, tuple[Outcome, Path | None]] = {}

    def limits(self, history: Sequence[Trial]) -> tuple[Limit, ...]:
        """What the next trial must keep up with, step by step; empty while too little is known.

        A vector holds one loss for each objective: from the curve where the metric is learnt, from
        the trial's metrics where training does not change it (parameters, operations, state). At a
        step with n vectors of which k shall pass, the limit is the first front up to which k of
        them lie: whoever is dominated by a point of it stops. With one objective that is to be
        worse than the k-th best. A trial that is better than all is dominated by none, so it never
        stops, and nobody stops at the last step. Trials that crashed, ran out of time or of memory
        say nothing, for on another machine they might not have.
        """
        paths = self._paths(history)
        if not paths:
            return ()
        return (median if self._name == "median" else halving)(paths, **self._options)

    def _paths(self, history: Sequence[Trial]) -> list[Path]:
        """The paths of the latest trials; each outcome is read once as long as it is among them."""
        before, self._read = self._read, {}
        for place in range(max(0, len(history) - self._window), len(history)):
            outcome = history[place].outcome
            known = before.get(place)
            if known is None or known[0] is not outcome:
                known = outcome, _path(outcome, self._objectives)
            self._read[place] = known
        return [path for _, path in self._read.values() if path is not None]


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


def _path(outcome: Outcome, objectives: Sequence[Objective]) -> Path | None:
    """The path of an outcome that tells something, along the steps with a finite loss vector."""
    if outcome.state not in _TELLING:
        return None
    fixed = {objective.metric: measured(outcome, objective.metric) for objective in objectives}
    vectors = {}
    for step, metrics in outcome.curve:
        values = {**fixed, **dict(metrics)}
        vector = tuple(
            objective.loss(value)
            for objective in objectives
            if (value := values[objective.metric]) is not None and math.isfinite(value)
        )
        if len(vector) == len(objectives):
            vectors[step] = vector
    return Path(vectors, max(vectors), outcome.state is not State.COMPLETE) if vectors else None
