"""What the loss would miss of each weight, told before training from one batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from archsearch.sparsity.masks import Setting

SALIENCIES = ("snip", "grasp")
STEP = 1e-3  # of the norm of all weights, to either side


def saliency(setting: Setting, weights: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    """A score per weight, higher for those to keep.

    ``snip`` is |w dL/dw|, the effect of the weight on the loss (Lee et al. 2019, arXiv 1810.02340,
    equation 5). ``grasp`` is w (H g), what keeping it does for the flow of the gradient g with the
    Hessian H (Wang et al. 2020, arXiv 2002.07376, equation 8, of which the lowest are removed).
    """
    slopes = _slopes(setting, weights)
    if kind == "snip":
        return {name: (weight * slopes[name]).detach().abs() for name, weight in weights.items()}
    bent = _along(setting, weights, slopes)
    return {name: (weight * bent[name]).detach() for name, weight in weights.items()}


def _slopes(setting: Setting, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = torch.autograd.grad(setting.probe(0), list(weights.values()), allow_unused=True)
    return {
        name: torch.zeros_like(weight) if slope is None else slope
        for (name, weight), slope in zip(weights.items(), found, strict=True)
    }


def _along(
    setting: Setting, weights: Mapping[str, Tensor], way: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The Hessian times a direction, by the slopes on both sides: compiled loops have no second."""
    before = {name: weight.detach().clone() for name, weight in weights.items()}
    length = _norm(way)
    size = STEP * _norm(before) / length if length else 0.0
    sides = []
    for sign in (1, -1):
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(before[name] + sign * size * way[name])
        sides.append(_slopes(setting, weights))
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(before[name])
    ahead, behind = sides
    return {name: (ahead[name] - behind[name]) / (2 * size or 1.0) for name in weights}


def _norm(parts: Mapping[str, Tensor]) -> float:
    return float(torch.stack([part.norm() for part in parts.values()]).norm())
