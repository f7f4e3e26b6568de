"""Proposals that were not made before: a sampler's, or what is left of a finite space."""

from __future__ import annotations

import random
from collections.abc import Container, Sequence
from functools import cached_property

from archsearch.search.sampler import Sampler
from archsearch.spec.architecture import Architecture
from archsearch.spec.settings import derived_seed
from archsearch.spec.space import Space
from archsearch.spec.trial import Point, Trial

ATTEMPTS = 8
LARGEST_LISTED = 20_000


class Unseen:
    """Asks a sampler until it proposes something new, and helps it out when it does not.

    A sampler that only repeats itself gets a random point of the space that is new. What is
    proposed depends on the arguments alone; that the points of a small space and the digests of
    their architectures are kept only saves time.
    """

    def __init__(self, sampler: Sampler, space: Space, seed: int) -> None:
        self._sampler, self._space, self._seed = sampler, space, seed
        self._digests: dict[Point, str] = {}

    def propose(
        self, index: int, history: Sequence[Trial], seen: Container[str]
    ) -> tuple[Point, Architecture] | None:
        """A point for ``index`` whose architecture's digest is not in ``seen``.

        None when the space is finite, listable and exhausted. In a space too large to list the
        last proposal stands, though it repeats an earlier one.
        """
        for attempt in range(ATTEMPTS):
            point = self._sampler.propose(index, history, attempt)
            architecture = self._space.architecture(point)
            if architecture.digest not in seen:
                return point, architecture
        rng = random.Random(derived_seed(self._seed, "unseen", index))
        if self._points is not None:
            left = list(self._points)
            rng.shuffle(left)
            found = next((point for point in left if self._digest(point) not in seen), None)
            return None if found is None else (found, self._space.architecture(found))
        for _ in range(ATTEMPTS):
            point = self._space.sample(rng)
            architecture = self._space.architecture(point)
            if architecture.digest not in seen:
                break
        return point, architecture

    @cached_property
    def _points(self) -> tuple[Point, ...] | None:
        """All points of the space; None if there are too many to list."""
        return tuple(self._space.points()) if self._space.size() <= LARGEST_LISTED else None

    def _digest(self, point: Point) -> str:
        if point not in self._digests:
            self._digests[point] = self._space.architecture(point).digest
        return self._digests[point]
