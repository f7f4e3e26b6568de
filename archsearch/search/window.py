"""What a model is fitted to: a bounded part of the history, the same however it was shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from archsearch.errors import SpaceError
from archsearch.search.fronts import ranks
from archsearch.search.losses import losses, violations
from archsearch.spec.domains import Domain
from archsearch.spec.settings import Constraint, Objective
from archsearch.spec.space import Space
from archsearch.spec.trial import Point, State, Trial

_AGAINST = (State.STOPPED, State.DIVERGED, State.INVALID)


@dataclass(frozen=True)
class Evidence:
    """One trial as a model sees it; without ``losses`` it only speaks against its point."""

    point: Point
    losses: tuple[float, ...] | None
    violations: tuple[float, ...] | None


class Window:
    """The evidence kept of a history, and which decisions go together.

    Trials are taken in order. A complete trial with finite values is kept with its losses. One
    that was stopped, diverged or could not be built is kept without, as long as there are at most
    nine such for each with losses, so that the best tenth always has values. Running trials, those
    that ran out of time or memory or crashed (on another machine they might not have), and points
    outside the space are passed over. When ``size`` are kept, half are dropped: what stays is the
    best quarter (feasible first and by non-dominated rank, then by least violation, the latest
    first among equals) and of the others the latest quarter, in their order. Which are kept is
    thus a function of the history alone.
    """

    def __init__(
        self,
        space: Space,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint],
        size: int,
    ) -> None:
        self._space = space
        self._objectives = objectives
        self._constraints = constraints
        self._size = size
        self.kept: list[Evidence] = []
        self.values = 0
        self.groups: dict[str, tuple[str, ...]] = {}
        self._walks: set[frozenset[str]] = set()
        self._seen = 0
        self._last: tuple[object, ...] | None = None

    def learn(self, history: Sequence[Trial]) -> bool:
        """Take in what is new; False if what was kept before is no longer all there."""
        seen = self._seen
        grown = len(history) >= seen and (seen == 0 or _mark(history[seen - 1]) == self._last)
        if not grown:
            self._forget()
        for position in range(self._seen, len(history)):
            grown = self._take(history[position]) and grown
        self._seen = len(history)
        self._last = _mark(history[-1]) if self._seen else None
        return grown

    def _forget(self) -> None:
        self.kept, self.values, self._seen, self._last = [], 0, 0, None
        self.groups, self._walks = {}, set()

    def _take(self, trial: Trial) -> bool:
        found = self._evidence(trial)
        if found is None:
            return True
        if found.losses is None:
            against = sum(evidence.losses is None for evidence in self.kept)
            if against >= 9 * (len(self.kept) - against):
                return True
        else:
            self.values += 1
        self.kept.append(found)
        self._split(frozenset(path for path, _ in found.point))
        if len(self.kept) < self._size:
            return True
        self._drop()
        return False

    def _evidence(self, trial: Trial) -> Evidence | None:
        if trial.state is not State.COMPLETE and trial.state not in _AGAINST:
            return None
        if not self._fits(trial.point):
            return None
        missed = violations(trial.outcome, self._constraints)
        if trial.state in _AGAINST:
            return Evidence(trial.point, None, missed)
        values = losses(trial.outcome, self._objectives)
        if values is None or missed is None:
            return None
        return Evidence(trial.point, values, missed)

    def _fits(self, point: Point) -> bool:
        values = dict(point)

        def look_up(path: str, domain: Domain) -> int | float:
            if path not in values or not domain.contains(values[path]):
                raise SpaceError(path)
            return values[path]

        try:
            return len(self._space.decide(look_up)) == len(values)
        except SpaceError:
            return False

    def _split(self, walk: frozenset[str]) -> None:
        """Refine the groups so that each is either all in ``walk`` or all outside it."""
        if walk in self._walks:
            return
        self._walks.add(walk)
        parts = {frozenset(group) for group in self.groups.values()}
        known = frozenset(self.groups)
        pieces = [part & walk for part in parts] + [part - walk for part in parts] + [walk - known]
        self.groups = {path: tuple(sorted(piece)) for piece in pieces for path in piece}

    def _drop(self) -> None:
        quarter = self._size // 4
        order = sorted(range(len(self.kept)), key=self._merits().__getitem__)
        best = set(order[:quarter])
        others = [position for position in range(len(self.kept)) if position not in best]
        stay = sorted(best.union(others[-quarter:]))
        self.kept = [self.kept[position] for position in stay]

    def _merits(self) -> list[tuple[int, float, int]]:
        """Sort keys: good before bad before valueless, late before early."""
        valued = [
            evidence.losses
            for evidence in self.kept
            if evidence.losses is not None and not any(evidence.violations or ())
        ]
        fronts = iter(ranks(valued, self._size // 4))
        keys: list[tuple[int, float, int]] = []
        for position, evidence in enumerate(self.kept):
            if evidence.losses is None:
                keys.append((2, 0.0, -position))
            elif any(evidence.violations or ()):
                keys.append((1, sum(evidence.violations or ()), -position))
            else:
                keys.append((0, float(next(fronts)), -position))
        return keys


def _mark(trial: Trial) -> tuple[object, ...]:
    return trial.phase, trial.index, trial.point, trial.state
