"""A space: everything an architecture may be, as a tree of open decisions."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from functools import cached_property
from typing import Any

from archsearch.errors import SpaceError
from archsearch.spec.architecture import Architecture
from archsearch.spec.catalog import Catalog
from archsearch.spec.domains import Choice, Domain, FloatRange, IntRange
from archsearch.spec.membership import holds
from archsearch.spec.tree import Choose, Decision, Record
from archsearch.spec.trial import Point


class Space:
    """A tree of open decisions over a catalog; a point is what was decided, in walk order.

    A decision is named by its path (``stages.0.blocks.0.cell``, and below the branch that was
    taken ``stages.0.blocks.0.cell.lru.state``); a path has the same domain in every walk. The
    decision of a choice is the index of the branch.
    """

    def __init__(self, root: Record, catalog: Catalog) -> None:
        self.root = root
        self.catalog = catalog

    def decide(self, choose: Choose) -> Point:
        """The point that ``choose(path, domain)`` makes, asked for active decisions only."""
        return self._walk(choose)[1]

    def sample(self, rng: random.Random) -> Point:
        """A point whose every active decision is drawn from its domain."""
        return self.decide(lambda _, domain: domain.sample(rng))

    def mutate(self, point: Point, rng: random.Random) -> Point:
        """The point with one active decision redrawn to another value.

        Other decisions stay where they are still active; newly active ones are drawn. A point
        with nothing to redraw is returned as it is.
        """
        domains = self.domains()
        open_paths = [path for path, _ in point if domains[path].size > 1]
        if not open_paths:
            return point
        kept = dict(point)
        changed = rng.choice(open_paths)
        kept[changed] = _another(domains[changed], kept[changed], rng)
        return self.decide(lambda path, domain: kept[path] if path in kept else domain.sample(rng))

    def architecture(self, point: Point) -> Architecture:
        """What the point stands for, completed; raises SpaceError if it lies elsewhere."""
        values = dict(point)

        def look_up(path: str, domain: Domain) -> int | float:
            if path not in values:
                raise SpaceError(f"the point does not decide {path}")
            if not domain.contains(values[path]):
                raise SpaceError(f"the point has {values[path]} at {path}, outside {domain}")
            return values[path]

        architecture, walked = self._walk(look_up)
        if len(walked) < len(values):
            surplus = next(path for path in values if path not in dict(walked))
            raise SpaceError(f"the point decides {surplus}, which is not open there")
        return self.catalog.complete_architecture(architecture)

    def contains(self, architecture: Architecture) -> bool:
        """Whether some point of the space is the same network, however it is spelled."""
        try:
            completed = self.catalog.complete_architecture(architecture)
        except SpaceError:
            return False
        return holds(self.root, completed)

    def size(self) -> int | float:
        """The number of points, exactly; infinite when a real range without a step is open."""
        return self.root.size()

    def points(self) -> Iterator[Point]:
        """Every point of a finite space, in lexicographic order; raises SpaceError otherwise."""
        if self.size() == math.inf:
            raise SpaceError("a space with an open real range has no list of points")
        return self._points()

    def _points(self) -> Iterator[Point]:
        digits: list[int] = []
        while True:
            sizes: list[int] = []

            def choose(_: str, domain: Domain, sizes: list[int] = sizes) -> int | float:
                if len(sizes) == len(digits):
                    digits.append(0)
                sizes.append(int(domain.size))
                return _nth(domain, digits[len(sizes) - 1])

            yield self.decide(choose)
            while digits and digits[-1] + 1 == sizes[len(digits) - 1]:
                digits.pop()
            if not digits:
                return
            digits[-1] += 1

    def domains(self) -> dict[str, Domain]:
        """Every decision, active or not, with its domain, in walk order."""
        return {path: domain for path, domain, _ in self._decisions}

    def conditions(self) -> dict[str, str]:
        """For every decision that is not always active, when it is, in words."""
        return {path: words for path, _, words in self._decisions if words}

    def readable(self, point: Point) -> dict[str, str]:
        """The point with the labels of the branches and short numbers."""
        domains = self.domains()
        return {path: _word(domains[path], value) for path, value in point}

    def to_plain(self) -> dict[str, Any]:
        """The space as JSON data: equal data, equal spaces."""
        plain: dict[str, Any] = self.root.to_plain()
        return plain

    @cached_property
    def _decisions(self) -> tuple[Decision, ...]:
        return tuple(self.root.decisions("", ""))

    def _walk(self, choose: Choose) -> tuple[Architecture, Point]:
        decided: list[tuple[str, int | float]] = []

        def note(path: str, domain: Domain) -> int | float:
            value = choose(path, domain)
            decided.append((path, value))
            return value

        architecture: Architecture = self.root.walk("", note)
        return architecture, tuple(decided)


def _another(domain: Domain, value: int | float, rng: random.Random) -> int | float:
    """A draw that differs from ``value``; the domain has more than one."""
    if isinstance(domain, Choice):
        drawn = rng.randrange(domain.size - 1)
        return drawn + 1 if drawn >= value else drawn
    for _ in range(1000):
        number = domain.sample(rng)
        if number != value:
            return number
    return domain.low if value != domain.low else domain.high


def _nth(domain: Domain, index: int) -> int | float:
    match domain:
        case Choice():
            return index
        case IntRange():
            return domain.low + domain.step * index
        case FloatRange():
            return min(domain.low + (domain.step or 0.0) * index, domain.high)


def _word(domain: Domain, value: int | float) -> str:
    if isinstance(domain, Choice):
        return domain.labels[int(value)]
    return str(value) if isinstance(domain, IntRange) else f"{value:.6g}"
