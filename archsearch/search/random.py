"""Random search: every proposal is drawn from the space alone."""

from __future__ import annotations

import random
from collections.abc import Sequence

from archsearch.search.sampler import Sampler
from archsearch.spec.settings import derived_seed
from archsearch.spec.trial import Point, Trial


class Random(Sampler):
    """Draws each decision from its domain, independently of the history."""

    def propose(
        self,
        index: int,
        history: Sequence[Trial],
        attempt: int = 0,
    ) -> Point:
        return self.space.sample(random.Random(derived_seed(self.seed, index, attempt)))
