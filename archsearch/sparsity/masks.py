"""Masks over the parameters of a model that is being trained, and the promises they keep.

After every update the masked weights are exactly zero, and each matrix has exactly as many others
as its method says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from archsearch.sparsity.patterns import Pattern


@dataclass(frozen=True)
class Setting:
    """The training that a method prunes in: ``steps`` updates of the model.

    ``loss`` gives the loss on the k-th of some batches of its own, with a graph, and disturbs
    nothing of the training; all randomness of a method comes from ``seed``.
    """

    model: nn.Module
    steps: int
    seed: int = 0
    loss: Callable[[int], Tensor] | None = None

    def probe(self, number: int) -> Tensor:
        """The loss on a batch of the method's own; raises ValueError where there is no data."""
        if self.loss is None:
            raise ValueError("this sparsity looks at data, and the training gives it none")
        return self.loss(number)

    def random(self, *place: int) -> torch.Generator:
        """Random numbers for one purpose, the same whenever it is asked for."""
        words = np.random.SeedSequence([self.seed, *place]).generate_state(2, np.uint32)
        return torch.Generator().manual_seed(int(words[0]) << 32 | int(words[1]))


class Density(NamedTuple):
    """The share of weights that is left: of those a method may prune, and of all parameters."""

    prunable: float
    overall: float


class Masks:
    """Masks over the parameters that ``names`` lists; a method overrides :meth:`due`.

    A training step is::

        loss.backward()
        masks.before_step(step)             # before the gradient is clipped
        optimizer.step()
        masks.after_step(step, optimizer)   # step counts from one
    """

    def __init__(
        self, model: nn.Module, names: Iterable[str], pattern: Pattern | None = None
    ) -> None:
        wanted = frozenset(names)
        self._total = sum(parameter.numel() for parameter in model.parameters())
        self.pattern = pattern or Pattern()
        self.weights = {
            name: parameter for name, parameter in model.named_parameters() if name in wanted
        }
        self.masks = {
            name: torch.ones_like(weight, dtype=torch.bool) for name, weight in self.weights.items()
        }

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(weight.shape) for name, weight in self.weights.items()}

    def due(self, step: int) -> Mapping[str, Tensor]:
        """The masks that change after this update; weights that come back start at zero."""
        return {}

    def rate(self, step: int, steps: int, planned: Callable[[int, int], float]) -> float:
        """The learning rate of an update as a share of its highest.

        ``planned(k, n)`` is that of the k-th update of a training of n.
        """
        return planned(step, steps)

    # a method that grows weights back needs to see the gradients of all
    def before_step(self, step: int) -> None:
        """Masks the gradients, so that neither clipping nor the optimizer sees pruned weights."""
        for name, weight in self.weights.items():
            if weight.grad is not None:
                weight.grad.masked_fill_(~self.masks[name], 0)

    @torch.no_grad()
    def after_step(self, step: int, optimizer: Optimizer) -> None:
        """Takes up the masks due after this update, and clears what the optimizer remembers."""
        for name, mask in self.due(step).items():
            old, weight = self.masks[name], self.weights[name]
            stays = old & mask
            _forget(optimizer.state.get(weight, {}), weight, stays)
            weight.masked_fill_(~stays, 0)
            old.copy_(mask)
        for name, weight in self.weights.items():
            weight.masked_fill_(~self.masks[name], 0)

    @torch.no_grad()
    def begin(self, masks: Mapping[str, Tensor]) -> None:
        """Start from these masks, before the first update."""
        for name, mask in masks.items():
            self.masks[name].copy_(mask)
            self.weights[name].masked_fill_(~self.masks[name], 0)

    def density(self) -> Density:
        """What is left now; one where there is nothing to prune."""
        prunable = sum(mask.numel() for mask in self.masks.values())
        gone = sum(int((~mask).sum()) for mask in self.masks.values())
        return Density(1 - gone / max(prunable, 1), 1 - gone / max(self._total, 1))

    def state(self) -> dict[str, Tensor]:
        """Copies of the masks by parameter name, to be stored beside the weights."""
        return {name: mask.clone() for name, mask in self.masks.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Takes up stored masks; raises ValueError where they are of other parameters."""
        shapes = {name: mask.shape for name, mask in state.items()}
        if shapes != {name: mask.shape for name, mask in self.state().items()}:
            raise ValueError("the stored masks belong to another model or another sparsity")
        for name in self.masks:
            self.masks[name].copy_(state[name])


def kept(density: float, size: int) -> int:
    """How many of ``size`` weights a density keeps, to the nearest whole number."""
    return round(density * size)


def largest(score: Tensor, alive: Tensor, count: int) -> Tensor:
    """The mask of the ``count`` highest absolute scores among those alive; ties by position."""
    ranked = score.abs().masked_fill(~alive, -1).flatten()
    order = torch.sort(ranked, descending=True, stable=True).indices
    mask = torch.zeros_like(alive).flatten()
    mask[order[:count]] = True
    return mask.view_as(alive)


def _forget(memory: Mapping[str, object], weight: Tensor, mask: Tensor) -> None:
    for held in memory.values():
        if isinstance(held, Tensor) and held.shape == weight.shape:
            held.masked_fill_(~mask, 0)
