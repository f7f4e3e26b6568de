"""The masks that a sparsity by name asks for."""

from __future__ import annotations

from torch import nn

from archsearch.sparsity.declared import SPARSITY
from archsearch.sparsity.masks import Masks
from archsearch.spec.architecture import Layer
from archsearch.spec.catalog import Catalog


def sparsify(model: nn.Module, layer: Layer, total_steps: int) -> Masks:
    """Masks to call around every update of a training of ``total_steps``; empty for a dense one.

    Raises SpaceError for a sparsity that does not exist and ArchitectureError for options that do
    not fit each other.
    """
    declared = Catalog(SPARSITY).find("sparsity", layer.name)
    options = declared.settings(layer)
    return declared.implementation()(model, total_steps, **options)


# the length of the training says when others prune
def dense(model: nn.Module, total_steps: int) -> Masks:  # noqa: ARG001
    """Masks over nothing: every weight is trained and kept."""
    return Masks(model, frozenset(), lambda _: 1.0)
