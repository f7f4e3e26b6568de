"""The masks that a sparsity by name asks for."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from archsearch.sparsity.declared import SPARSITY
from archsearch.sparsity.masks import Masks, Setting
from archsearch.spec.architecture import Layer
from archsearch.spec.catalog import Catalog


def sparsify(
    model: nn.Module,
    layer: Layer,
    total_steps: int,
    *,
    seed: int = 0,
    loss: Callable[[int], Tensor] | None = None,
) -> Masks:
    """Masks to call around every update of a training of ``total_steps``; empty for a dense one.

    ``loss`` is the loss on the k-th of some batches that the training does not see; methods that
    look at data call it. The global random state is as before. Raises SpaceError for a sparsity
    that does not exist and ArchitectureError for options that do not fit each other.
    """
    declared = Catalog(SPARSITY).find("sparsity", layer.name)
    options = declared.settings(layer)
    return declared.implementation()(Setting(model, total_steps, seed, loss), **options)


def dense(setting: Setting) -> Masks:
    """Masks over nothing: every weight is trained and kept."""
    return Masks(setting.model, frozenset())
