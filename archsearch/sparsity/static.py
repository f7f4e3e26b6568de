"""Masks that are drawn before the first update and stay (Liu et al. 2022, arXiv 2202.02643)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from archsearch.errors import ArchitectureError
from archsearch.sparsity.allocation import allocate
from archsearch.sparsity.masks import Masks, Setting, largest
from archsearch.sparsity.patterns import Pattern
from archsearch.sparsity.roles import prunable
from archsearch.sparsity.saliency import SALIENCIES, saliency
from archsearch.spec.counts import read_counts

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


def drawn(
    setting: Setting,
    counts: str = "",
    number: int = 0,
    pattern: str = "unstructured",
    block: int = 4,
) -> Masks:
    """Masks with so many weights in each of the matrices named, and no other matrix pruned.

    The places depend on ``number`` alone, so that a mask can be trained from several seeds.
    Raises ArchitectureError where the model has no such matrix, or none so large.
    """
    wanted = read_counts(counts)
    masks = Masks(setting.model, wanted, Pattern(pattern, block))
    for name, count in wanted.items():
        if name not in masks.weights or masks.weights[name].ndim < 2:
            raise ArchitectureError(f"sparsity 'drawn': the model has no matrix '{name}'")
        if count > (size := masks.weights[name].numel()):
            raise ArchitectureError(
                f"sparsity 'drawn': {count} weights are asked for of {name}, which has {size}"
            )
    generator = replace(setting, seed=number).random(DRAW)
    masks.begin(draw(masks, wanted, generator))
    return masks
