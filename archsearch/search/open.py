"""From the sampler named in a space file to a sampler at work."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from archsearch.search.declared import SAMPLERS
from archsearch.search.sampler import Sampler
from archsearch.spec.architecture import Layer
from archsearch.spec.catalog import Catalog
from archsearch.spec.settings import Constraint, Objective
from archsearch.spec.space import Space


def open_sampler(
    layer: Layer,
    space: Space,
    objectives: Sequence[Objective],
    constraints: Sequence[Constraint],
    seed: int,
) -> Sampler:
    """The sampler that ``layer`` names, with its options; raises SpaceError for an unknown one.

    Its module is imported here, so that random search does not wait for Optuna.
    """
    catalog = Catalog(SAMPLERS)
    declared = catalog.find("sampler", layer.name)
    options: dict[str, Any] = declared.settings(layer)
    module, attribute = str(declared.target).split(":")
    built: type[Sampler] = getattr(importlib.import_module(module), attribute)
    return built(space, objectives, constraints, seed, **options)
