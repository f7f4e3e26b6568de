"""Gradual magnitude pruning (Zhu and Gupta 2017, arXiv 1710.01878)."""

from __future__ import annotations

from typing import Literal

from torch import nn

from archsearch.errors import ArchitectureError
from archsearch.sparsity.masks import Masks


def cubic(progress: float, initial: float, final: float) -> float:
    """The sparsity at a fraction of the pruning window, clamped to it (equation 1)."""
    left = 1 - min(max(progress, 0.0), 1.0)
    return final + (initial - final) * left**3


def magnitude(
    model: nn.Module,
    total_steps: int,
    density: float,
    begin: float = 0.25,
    end: float = 0.75,
    updates: int = 20,
    which: Literal["stages", "all"] = "stages",
) -> Masks:
    """Masks that go from dense to ``density`` between two fractions of the training.

    Weights are pruned ``updates`` times, evenly spaced; the defaults for ``begin`` and ``end`` are
    those of arXiv 2501.12486. Raises ArchitectureError where the window ends before it begins.
    """
    if begin > end:
        raise ArchitectureError(
            f"sparsity 'magnitude': begin must not be after end, got begin {begin} and end {end}"
        )
    first, last = begin * total_steps, end * total_steps

    def target(made: int) -> float:
        if made >= last:
            return density
        if made < first:
            return 1.0
        # the number of prunings so far, over all of them
        progress = int((made - first) / (last - first) * updates) / updates
        return 1 - cubic(progress, 0.0, 1 - density)

    return Masks(model, prunable(model, which), target)


def prunable(model: nn.Module, which: Literal["stages", "all"] = "stages") -> frozenset[str]:
    """Names of the matrices whose weights mean nothing at zero: those with weight decay.

    Parameters that a layer exempts from decay (biases, norms, the rates of a recurrence) are never
    pruned. With ``stages`` the embedding and the head stay dense as well.
    """
    exempt = model.no_decay() if hasattr(model, "no_decay") else frozenset()
    return frozenset(
        name
        for name, parameter in model.named_parameters()
        if parameter.ndim >= 2
        and name not in exempt
        and (which == "all" or name.startswith("stages."))
    )
