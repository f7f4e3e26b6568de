"""Smaller networks that learn from a trained one, tried at random and then trained in earnest.

Ashok et al. 2018 (arXiv 1709.06030) pick what to remove and to shrink by reinforcement; with as few
trials as are affordable here, random ones come as far.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from archsearch.build import build
from archsearch.errors import ArchitectureError, InputError
from archsearch.execute.lessons import Lessons, Parent
from archsearch.spec.architecture import Architecture
from archsearch.spec.catalog import Catalog
from archsearch.spec.settings import Objective, derived_seed
from archsearch.spec.smaller import reward, smaller

DRAWS = 200  # for every child that is tried
SHORT = 4  # a child is tried with one step for so many


@dataclass(frozen=True)
class Child:
    """A smaller network; ``reward`` weighs its size against its ``value`` on validation.

    A child that cannot be built or trained has the reward -1.
    """

    architecture: Architecture
    params: int
    value: float | None = None
    reward: float = -1.0


def children(
    parent: Parent, catalog: Catalog, count: int, largest: float, seed: int
) -> list[Child]:
    """At most ``count`` different ones with at most the share ``largest`` of the parent's weights.

    Raises InputError where there is none.
    """
    rng = random.Random(derived_seed(seed, "children"))
    found: list[Child] = []
    seen: set[str] = set()
    least, fault = parent.params, ""
    for _ in range(DRAWS * count):
        if len(found) == count:
            break
        drawn = catalog.complete_architecture(smaller(parent.architecture, rng))
        if drawn.digest in seen:
            continue
        seen.add(drawn.digest)
        try:
            model = build(drawn, catalog, parent.signature, seed=0)
        except ArchitectureError as error:
            fault = f": {error}"
            continue
        params = sum(p.numel() for p in model.parameters() if p.requires_grad)
        least = min(least, params)
        if params <= largest * parent.params and params < parent.params:
            found.append(Child(drawn, params))
    if least == parent.params:
        raise InputError(f"no smaller network of this kind can be built{fault}")
    if not found:
        raise InputError(
            f"none of {len(seen)} smaller networks has at most {largest:g} of its"
            f" {parent.params} parameters; allow a larger share"
        )
    return found


def tried(lessons: Lessons, child: Child, steps: int) -> Child:
    """The child after a short lesson, judged on validation."""
    outcome = lessons.on_validation(child.architecture, steps)
    parent = lessons.parent
    value = outcome.metric(parent.objective.metric)
    if not outcome.state.has_value or value is None:
        return child
    quality = quality_of(value, parent.value, parent.objective)
    return replace(child, value=value, reward=reward(1 - child.params / parent.params, quality))


def quality_of(value: float, of_parent: float, objective: Objective) -> float:
    """How good a value is, over how good the parent's is; at most what is finite, at least zero."""
    if objective.direction == "max":
        return max(value, 0.0) / max(of_parent, 1e-12)
    return max(of_parent, 1e-12) / max(value, 1e-12)


def best(lessons: Lessons, some: list[Child], steps: int, told: Callable[[Child], None]) -> Child:
    """The child with the highest reward, the first of equals; InputError where none finished."""
    short = max(1, steps // SHORT)
    found = []
    for child in some:
        found.append(tried(lessons, child, short))
        told(found[-1])
    first = max(found, key=lambda child: child.reward)
    if first.value is None:
        raise InputError("none of the smaller networks could be trained")
    return first
