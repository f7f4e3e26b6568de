"""How many weights a learned mask has left of each matrix."""

from __future__ import annotations

from torch import nn

from archsearch.sparsity.roles import UNLEARNED, prunable
from archsearch.spec.architecture import Layer
from archsearch.spec.counts import KEPT


def kept(model: nn.Module, sparsity: Layer) -> dict[str, float]:
    """Nonzero weights of every matrix that the method may prune, under ``kept.`` and its name.

    Empty for a method that learns no mask.
    """
    if sparsity.name in UNLEARNED:
        return {}
    which = str(dict(sparsity.options).get("which", "stages"))
    return {
        f"{KEPT}{name}": float(model.get_parameter(name).count_nonzero())
        for name in sorted(prunable(model, which))
    }
