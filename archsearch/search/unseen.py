"""Proposals that were not made before: a sampler's, or what is left of a finite space."""

from __future__ import annotations

import random
from collections.abc import Container, Sequence

from archsearch.search.sampler import Sampler
from archsearch.spec.architecture import Architecture
from archsearch.spec.settings import derived_seed
from archsearch.spec.space import Space
from archsearch.spec.trial import Point, Trial

ATTEMPTS = 20
LARGEST_LISTED = 20_000


def propose_unseen(
    sampler: Sampler,
    space: Space,
    seed: int,
    index: int,
    history: Sequence[Trial],
    seen: Container[str],
) -> tuple[Point, Architecture] | None:
    """The sampler's proposal for ``index``, asked again while its digest is in ``seen``.

    A sampler that only repeats itself is helped out by a random unseen point of the space. None
    when the space is finite, listable and exhausted. In a space too large to list the last
    proposal stands, though it repeats an earlier one.
    """
    for attempt in range(ATTEMPTS):
        point = sampler.propose(index, history, attempt)
        architecture = space.architecture(point)
        if architecture.digest not in seen:
            return point, architecture
    if space.size() > LARGEST_LISTED:
        return point, architecture
    left = list(space.points())
    random.Random(derived_seed(seed, "unseen", index)).shuffle(left)
    for point in left:
        architecture = space.architecture(point)
        if architecture.digest not in seen:
            return point, architecture
    return None
