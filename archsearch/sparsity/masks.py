"""Masks over the parameters of a model that is being trained, and the promises they keep.

After every update the masked weights are exactly zero, each matrix has exactly as many others as
the schedule says, and a weight that has gone never comes back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Density(NamedTuple):
    """The share of weights that is left: of those a method may prune, and of all parameters."""

    prunable: float
    overall: float


class Masks:
    """Shrinks the given parameters of a model along a schedule, the smallest weights first.

    ``names`` are those of the parameters to prune; ``target(updates)`` is the density due once so
    many updates were made and never rises. A training step is::

        loss.backward()
        masks.before_step(step)             # before the gradient is clipped
        optimizer.step()
        masks.after_step(step, optimizer)   # step counts from one
    """

    def __init__(
        self, model: nn.Module, names: frozenset[str], target: Callable[[int], float]
    ) -> None:
        self._total = sum(parameter.numel() for parameter in model.parameters())
        self._weights = {
            name: parameter for name, parameter in model.named_parameters() if name in names
        }
        self.target = target
        self._masks = {
            name: torch.ones_like(weight, dtype=torch.bool)
            for name, weight in self._weights.items()
        }

    # a method that grows weights back needs to know when
    def before_step(self, step: int) -> None:
        """Masks the gradients, so that neither clipping nor the optimizer sees pruned weights."""
        for name, weight in self._weights.items():
            if weight.grad is not None:
                weight.grad.masked_fill_(~self._masks[name], 0)

    @torch.no_grad()
    def after_step(self, step: int, optimizer: Optimizer) -> None:
        """Prunes to the density due after this update, and clears what the optimizer remembers."""
        density = self.target(step)
        for name, weight in self._weights.items():
            mask = self._masks[name]
            count = kept(density, weight.numel())
            if count < int(mask.sum()):
                mask.copy_(largest(weight, mask, count))
                _forget(optimizer.state.get(weight, {}), weight, mask)
            weight.masked_fill_(~mask, 0)

    def density(self) -> Density:
        """What is left now; one where there is nothing to prune."""
        prunable = sum(mask.numel() for mask in self._masks.values())
        gone = sum(int((~mask).sum()) for mask in self._masks.values())
        return Density(1 - gone / max(prunable, 1), 1 - gone / max(self._total, 1))

    def state(self) -> dict[str, Tensor]:
        """Copies of the masks by parameter name, to be stored beside the weights."""
        return {name: mask.clone() for name, mask in self._masks.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes up stored masks; raises ValueError where they are of other parameters."""
        shapes = {name: mask.shape for name, mask in state.items()}
        if shapes != {name: mask.shape for name, mask in self._masks.items()}:
            raise ValueError("the stored masks belong to another model or another sparsity")
        for name, mask in state.items():
            self._masks[name].copy_(mask)


def kept(density: float, size: int) -> int:
    """How many of ``size`` weights a density keeps, to the nearest whole number."""
    return round(density * size)


def largest(weight: Tensor, alive: Tensor, count: int) -> Tensor:
    """The mask of the ``count`` largest absolute values among those alive; ties by position."""
    score = weight.abs().masked_fill(~alive, -1).flatten()
    order = torch.sort(score, descending=True, stable=True).indices
    mask = torch.zeros_like(alive).flatten()
    mask[order[:count]] = True
    return mask.view_as(alive)


def _forget(memory: Mapping[str, object], weight: Tensor, mask: Tensor) -> None:
    for held in memory.values():
        if isinstance(held, Tensor) and held.shape == weight.shape:
            held.masked_fill_(~mask, 0)
