"""What is known of the steps that were predicted, and how wrong predictions of them are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from archsearch.errors import DataError
from archsearch.spec.signature import Signature

UNKNOWN = -1
Objective = Callable[[Tensor, Tensor], Tensor]


@dataclass
class Seen:
    """A step that was read: what was ``said`` of it, and what it takes to predict it again.

    ``targets`` are (batch, outputs) of numbers, NaN where unknown, or (batch,) of classes, -1 where
    unknown; ``fresh`` marks what was not learned from yet.
    """

    x: Tensor
    before: Any
    said: Tensor
    frozen: Tensor
    targets: Tensor
    fresh: Tensor

    @property
    def known(self) -> Tensor:
        return known_of(self.targets)

    def tell(self, targets: Tensor) -> Tensor:
        """Add what is known now; returns what is new, in the shape of the targets."""
        told = known_of(targets) & ~self.known
        self.targets = torch.where(told, targets, self.targets)
        self.fresh = self.fresh | told
        return told


def nothing_of(signature: Signature, batch: int) -> Tensor:
    """The targets of a step of which nothing is known."""
    if signature.targets == "class":
        return torch.full((batch,), UNKNOWN)
    return torch.full((batch, signature.outputs), torch.nan)


def known_of(targets: Tensor) -> Tensor:
    if targets.is_floating_point():
        return ~targets.isnan()
    return targets != UNKNOWN


def checked(signature: Signature, targets: Tensor, batch: int) -> Tensor:
    """The targets of one step as they are kept; DataError where the task has others."""
    wanted = nothing_of(signature, batch)
    if signature.targets == "class" and targets.is_floating_point():
        raise DataError("targets: expected classes as whole numbers")
    if targets.shape != wanted.shape:
        raise DataError(f"targets: expected {tuple(wanted.shape)}, got {tuple(targets.shape)}")
    targets = targets.to(wanted.dtype)
    if targets.is_floating_point() and targets.isinf().any():
        raise DataError("targets: expected finite numbers, or NaN for what is not known")
    if signature.targets == "class" and not (
        targets.min() >= UNKNOWN and targets.max() < signature.outputs
    ):
        raise DataError(f"targets: expected classes from 0 to {signature.outputs - 1}")
    return targets


def loss_of(
    predictions: Sequence[Tensor],
    targets: Sequence[Tensor],
    counted: Sequence[Tensor],
    objective: Objective | None = None,
) -> Tensor:
    """A scalar over several steps, of what is counted of each; zero where nothing is.

    Classes: the mean cross entropy, or the head's own objective. Numbers: half the squared error,
    a mean over steps and rows for each output, summed over outputs, so that outputs that are known
    at different times do not slow each other down.
    """
    prediction, target, real = (torch.cat(list(part)) for part in (predictions, targets, counted))
    if not real.any():
        return prediction.sum() * 0
    if target.is_floating_point():
        error = torch.where(real, prediction - target, 0).square() / 2  # (steps * batch, outputs)
        return (error.sum(0) / real.sum(0).clamp_min(1)).sum()
    if objective is not None:
        return objective(prediction[real], target[real])
    return functional.cross_entropy(prediction[real], target[real])
