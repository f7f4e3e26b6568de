"""A small library of chains that together answer many sequences right."""

from __future__ import annotations

from collections import Counter

import numpy as np

from archsearch.adapt.chain import Chain, enumerated, prefixes
from archsearch.adapt.examples import Examples
from archsearch.adapt.labels.graded import Graded, grade
from archsearch.adapt.labels.tree import Moves, TreeSearch, best_of, rewards
from archsearch.adapt.walk import Walk

EXHAUSTIVE = 8
CANDIDATES = 64
COUNTS: dict[Moves, tuple[int, ...]] = {"skip": (0, 1), "repeat": (1, 2), "both": (0, 1, 2)}


def library(
    graded: Graded, plain: Chain, most: int, price: float, longest: int | None = None
) -> tuple[Chain, ...]:
    """Up to ``most`` chains by greedy set cover, the plain one first.

    The next is the one with most sequences that no former one answers right, each chain paying
    ``price`` of all sequences for its cost over that of the network; none follows that brings less
    than it costs. Chains costlier than ``longest`` layers are left out. Where values are predicted
    a sequence counts as answered right if its error is below what half have in the plain network.
    """
    right = _answered(graded, plain)
    allowed = graded.costs <= (graded.full if longest is None else longest)
    chosen = [graded.place(plain)]
    covered = right[:, chosen[0]].copy()
    due = price * len(right) * graded.costs / max(graded.full, 1)
    while len(chosen) < most:
        gain = (right & ~covered[:, None]).sum(0) - due
        gain[~allowed] = -np.inf
        gain[chosen] = -np.inf
        # of equal gains the cheapest
        best = min(np.flatnonzero(gain == gain.max()), key=lambda place: graded.costs[place])
        if not gain[best] > 0:
            break
        chosen.append(int(best))
        covered |= right[:, best]
    return tuple(graded.chains[place] for place in chosen)


def searched(
    walk: Walk, examples: Examples, *, moves: Moves = "both", simulations: int = 50, seed: int = 0
) -> Graded:
    """Chains on labelled sequences: all there are up to eight positions, else what a tree found.

    Of the latter those that are best for most sequences, and all prefixes, are tried on all.
    """
    depth = walk.depth
    if depth <= EXHAUSTIVE:
        return grade(walk, examples, tuple(enumerated(depth, COUNTS[moves])))
    search = TreeSearch(simulations=simulations, moves=moves)
    tried = search.run(rewards(walk, examples), len(examples), depth, seed)
    usual = Counter(best_of(tried, walk.costs)).most_common(CANDIDATES)
    return grade(walk, examples, (*prefixes(depth), *(chain for chain, _ in usual)))


def _answered(graded: Graded, plain: Chain) -> np.ndarray:
    if graded.said is not None:
        return graded.right
    return graded.score > np.median(graded.score[:, graded.place(plain)])  # type: ignore[no-any-return]
