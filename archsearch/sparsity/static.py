"""Masks that are drawn before the first update and stay (Liu et al. 2022, arXiv 2202.02643)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from archsearch.sparsity.allocation import allocate
from archsearch.sparsity.masks import Masks, Setting, largest
from archsearch.sparsity.patterns import Pattern
from archsearch.sparsity.roles import prunable
from archsearch.sparsity.saliency import SALIENCIES, saliency

DRAW = 1  # what its random numbers are for


def random(
    setting: Setting,
    density: float,
    allocation: str = "erk",
    which: str = "stages",
    pattern: str = "unstructured",
    block: int = 4,
) -> Masks:
    """A mask at random in each matrix, of the size that the allocation gives it.

    With ``snip`` and ``grasp`` only the sizes come from those scores of the weights before
    training, on one batch; which weights they are is drawn all the same.
    """
    masks = Masks(setting.model, prunable(setting.model, which), Pattern(pattern, block))
    if not masks.weights:
        return masks
    rule, scores = allocation, None
    if allocation in SALIENCIES:
        rule, scores = "global", saliency(setting, masks.weights, allocation)
    counts = allocate(masks.shapes, density, rule, scores)
    masks.begin(draw(masks, counts, setting.random(DRAW)))
    return masks


def draw(
    masks: Masks,
    counts: Mapping[str, int],
    generator: torch.Generator,
    allowed: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Exactly so many weights of each matrix, or of what is allowed of it, all choices alike."""
    found = {}
    for name, weight in masks.weights.items():
        units = masks.pattern.units(weight.shape)
        score = torch.rand(units, dtype=torch.float64, generator=generator).to(weight.device)
        count = masks.pattern.count(counts[name], weight.shape)
        room = torch.ones_like(weight, dtype=torch.bool) if allowed is None else allowed[name]
        kept = largest(score, masks.pattern.alive(room), count)
        found[name] = masks.pattern.mask(kept, weight.shape)
    return found
