"""Pruning by weight and input at once, without training (Sun et al. 2023, arXiv 2306.11695)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from archsearch.sparsity.dsnot import rearranged
from archsearch.sparsity.masks import Masks, Setting, kept
from archsearch.sparsity.observed import Observed
from archsearch.sparsity.roles import prunable

CALIBRATION = 2000  # the first of its batches
BATCHES = 4


class Wanda(Masks):
    """After update ``when``, each output row loses its lowest |W_ij| rms(x_j); then all stays.

    A weight whose input is not seen by :class:`Observed` counts by its size alone.
    """

    def __init__(
        self, setting: Setting, names: Iterable[str], density: float, when: int, refine: str
    ) -> None:
        super().__init__(setting.model, names)
        self.setting, self.share, self.when, self.refine = setting, density, when, refine

    def due(self, step: int) -> Mapping[str, Tensor]:
        if step != self.when or not self.weights:
            return {}
        observed = Observed(self.weights)
        with observed:
            for number in range(BATCHES):
                self.setting.probe(CALIBRATION + number)
        return {name: self._row_by_row(name, observed) for name in self.weights}

    def _row_by_row(self, name: str, observed: Observed) -> Tensor:
        weight = self.weights[name]
        norm = observed.norm(name) if observed.seen(name) else torch.ones_like(weight).double()
        score = (weight.double().abs() * norm).view(len(weight), -1)
        mask = highest_in_rows(score, kept(self.share, score.shape[1]))
        if self.refine == "dsnot" and observed.seen(name):
            mean, variance = (
                part(name).view_as(score) for part in (observed.mean, observed.variance)
            )
            mask = rearranged(weight.double().view_as(score), mask, score, mean, variance)
        return mask.view_as(weight)


def highest_in_rows(score: Tensor, count: int) -> Tensor:
    """The mask of the ``count`` highest scores of each row; ties by position."""
    order = torch.sort(score, dim=1, descending=True, stable=True).indices[:, :count]
    return torch.zeros_like(score, dtype=torch.bool).scatter_(1, order, value=True)


def wanda(
    setting: Setting, density: float, at: float = 0.9, which: str = "stages", refine: str = "none"
) -> Masks:
    """Dense up to the fraction ``at`` of the training, then pruned once; see :class:`Wanda`.

    With ``at`` one the last update is followed by no other: pruning without training.
    """
    when = min(max(1, round(at * setting.steps)), setting.steps)
    return Wanda(setting, prunable(setting.model, which), density, when, refine)
