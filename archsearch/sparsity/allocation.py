"""How many weights each matrix keeps, so that all of them together keep a given share."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from archsearch.errors import ArchitectureError

RULES = ("uniform", "uniform_plus", "erk", "global")
LAST = 0.2  # what uniform_plus leaves of the last matrix at least

Shapes = Mapping[str, tuple[int, ...]]


def allocate(
    shapes: Shapes, density: float, rule: str, scores: Mapping[str, Tensor] | None = None
) -> dict[str, int]:
    """Weights kept of every matrix; together ``density`` of all, to the nearest whole number.

    ``uniform`` keeps the same share of each. ``uniform_plus`` keeps the first whole and at least a
    fifth of the last (Gale et al. 2019, arXiv 1902.09574), so that the others keep less. ``erk``
    keeps more of small ones: a share in proportion to the sum of the dimensions over their product,
    at most all (Evci et al. 2020, arXiv 1911.11134, section 3). ``global`` keeps the highest
    ``scores`` wherever they are. Raises ArchitectureError where a rule leaves nothing to share.
    """
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    total = round(density * sum(sizes.values()))
    if rule == "uniform":
        return {name: round(density * size) for name, size in sizes.items()}
    if rule == "global":
        assert scores is not None
        return _highest(scores, total)
    if rule == "uniform_plus":
        return _apportioned(_uniform_plus(sizes, density), sizes, total)
    return _apportioned(erdos_renyi(shapes, density), sizes, total)


def erdos_renyi(shapes: Shapes, density: float) -> dict[str, float]:
    """The densities of ``erk``: in proportion to sum / product of the dimensions, at most one."""
    raw = {name: sum(shape) / math.prod(shape) for name, shape in shapes.items()}
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    whole: set[str] = set()
    while True:
        left = density * sum(sizes.values()) - sum(sizes[name] for name in whole)
        shared = sum(raw[name] * sizes[name] for name in raw if name not in whole)
        scale = left / shared if shared else 0.0
        full = {name for name in raw if name not in whole and scale * raw[name] > 1}
        if not full:
            return {name: 1.0 if name in whole else scale * raw[name] for name in raw}
        whole |= full


def _uniform_plus(sizes: Mapping[str, int], density: float) -> dict[str, float]:
    if len(sizes) < 3 or density == 1:
        return dict.fromkeys(sizes, density)
    first, *between, last = sizes
    shares = {first: 1.0, last: max(LAST, density)}
    left = density * sum(sizes.values()) - sum(shares[name] * sizes[name] for name in shares)
    share = left / sum(sizes[name] for name in between)
    if share <= 0:
        raise ArchitectureError(
            f"allocation 'uniform_plus': the first and a fifth of the last matrix are more than"
            f" {density:g} of all weights; take a higher density or 'erk'"
        )
    return {name: shares.get(name, share) for name in sizes}


def _apportioned(
    shares: Mapping[str, float], sizes: Mapping[str, int], total: int
) -> dict[str, int]:
    """Whole numbers with the given sum; what rounding leaves goes to the largest remainders."""
    exact = {name: shares[name] * sizes[name] for name in sizes}
    counts = {name: min(math.floor(value + 1e-9), sizes[name]) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder:
        if sum(counts.values()) < total and counts[name] < sizes[name]:
            counts[name] += 1
    return counts


def _highest(scores: Mapping[str, Tensor], total: int) -> dict[str, int]:
    """How many of the ``total`` highest scores each matrix has; ties go to the first."""
    flat = torch.cat([score.flatten().double().cpu() for score in scores.values()])
    sizes = torch.tensor([score.numel() for score in scores.values()])
    owner = torch.repeat_interleave(torch.arange(len(sizes)), sizes)
    best = torch.sort(flat, descending=True, stable=True).indices[:total]
    counts = torch.bincount(owner[best], minlength=len(sizes))
    return dict(zip(scores, counts.tolist(), strict=True))
