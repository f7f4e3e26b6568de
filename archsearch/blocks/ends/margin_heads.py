"""Heads that are trained until the right class leads by a margin, and no further."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from archsearch.blocks.ends.head import LinearHead
from archsearch.spec.signature import Signature


class MarginHead(LinearHead):
    """A linear head as a support vector machine: |W|^2 / (2 c) and the mean hinge of the batch.

    ``form`` is the hinge of :func:`hinges`, raised to ``power``. A sum over a batch of n times C,
    as Tang 2013, arXiv 1306.0239, and Agarap 2018, arXiv 1709.03082, have it, is a ``c`` of n C;
    the bias is not part of |W|. ``reading`` are the options of the linear head.
    """

    def __init__(
        self,
        signature: Signature,
        width: int,
        form: Literal["one_vs_rest", "crammer_singer"] = "one_vs_rest",
        power: int = 2,
        c: float = 32.0,
        **reading: Any,
    ) -> None:
        _only_classes(signature, "margin")
        super().__init__(signature, width, **reading)
        self.form, self.power, self.c = form, power, c

    def objective(self, prediction: Tensor, targets: Tensor) -> Tensor:
        """Of scores (n, classes) and classes (n,): a scalar."""
        hinge = hinges(prediction, targets, self.form).pow(self.power).sum(-1).mean()
        return hinge + self.project.weight.square().sum() / (2 * self.c)


class TripletHead(nn.Module):
    """Minus the squared distance to one learned point per class, on the unit sphere.

    Trained by triplets of a sequence, the point of its class and the nearest of another class: the
    mean of max(0, margin + near - far), both distances squared (Schroff, Kalenichenko & Philbin
    2015, arXiv 1503.03832, with points in place of other sequences as in
    Movshovitz-Attias et al. 2017, arXiv 1703.07464). ``size`` features span the sphere.
    """

    def __init__(
        self, signature: Signature, width: int, size: int = 16, margin: float = 0.2, **reading: Any
    ) -> None:
        super().__init__()
        _only_classes(signature, "triplet")
        self.embed = LinearHead(replace(signature, outputs=size), width, **reading)
        self.margin = margin
        self.points = nn.Parameter(torch.randn(signature.outputs, size))

    def forward(self, h: Tensor, lengths: Tensor | None = None) -> Tensor:
        """As a linear head: (batch, time, width) to (batch, outputs) or (batch, time, outputs)."""
        return self._scores(self.embed(h, lengths))

    def initial_state(self, batch: int) -> tuple[Tensor, ...]:
        return self.embed.initial_state(batch)

    def step(self, h_t: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(batch, width) to (batch, outputs)."""
        z, state = self.embed.step(h_t, state)
        return self._scores(z), state

    def objective(self, prediction: Tensor, targets: Tensor) -> Tensor:
        """Of scores (n, classes) and classes (n,): a scalar."""
        return hinges(prediction, targets, "crammer_singer", self.margin).mean()

    def _scores(self, z: Tensor) -> Tensor:
        alike = functional.normalize(z, dim=-1) @ functional.normalize(self.points, dim=-1).mT
        return 2 * alike - 2


def hinges(scores: Tensor, targets: Tensor, form: str, margin: float = 1.0) -> Tensor:
    """How much is lacking to the margin, zero where nothing is; (n, classes) or (n, 1).

    ``one_vs_rest``: the right class should score above the margin and each other one below minus
    it. ``crammer_singer``: the right class should score higher than the best other one by the
    margin (Crammer & Singer 2001).
    """
    right = functional.one_hot(targets, scores.shape[-1]).bool()
    if form == "one_vs_rest":
        return functional.relu(margin - torch.where(right, scores, -scores))
    best = scores.masked_fill(right, -torch.inf).amax(-1, keepdim=True)
    return functional.relu(margin + best - scores.gather(-1, targets.unsqueeze(-1)))


def _only_classes(signature: Signature, name: str) -> None:
    if signature.targets != "class":
        raise ValueError(f"a {name} head tells classes apart, and this task asks for numbers")
