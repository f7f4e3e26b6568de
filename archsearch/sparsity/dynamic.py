"""Masks that move while training: the smallest weights go, as many others come.

Every matrix keeps the number of weights that it began with.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from archsearch.errors import ArchitectureError
from archsearch.sparsity.allocation import allocate
from archsearch.sparsity.masks import Masks, Setting, largest
from archsearch.sparsity.roles import prunable
from archsearch.sparsity.static import DRAW, draw

GROW, RENEW = 2, 3  # what their random numbers are for


@dataclass(frozen=True)
class Plan:
    """``updates`` times up to the fraction ``end`` of the training, a share ``drop`` moves."""

    density: float
    allocation: str
    updates: int
    end: float
    drop: float


class Rewired(Masks):
    """Moves weights as planned; a method says what an empty place is worth, :meth:`worth`."""

    def __init__(self, setting: Setting, names: Iterable[str], plan: Plan) -> None:
        super().__init__(setting.model, names)
        self.setting, self.plan = setting, plan
        last, updates = plan.end * setting.steps, plan.updates
        self.moments = {max(1, round(last * (k + 1) / (updates + 1))) for k in range(updates)}
        counts = allocate(self.shapes, plan.density, plan.allocation)
        self.allowed = {name: self.room(name).to(w.device) for name, w in self.weights.items()}
        for name, room in self.allowed.items():
            if counts[name] > int(room.sum()):
                raise ArchitectureError(
                    f"{counts[name]} of {room.numel()} weights are asked for where"
                    f" {int(room.sum())} may be; take fewer groups, a larger reach or a lower"
                    " density"
                )
        self.begin(draw(self, counts, setting.random(DRAW), self.allowed))

    def room(self, name: str) -> Tensor:
        """The places of a matrix where weights may be."""
        return torch.ones_like(self.weights[name], dtype=torch.bool)

    def share(self, step: int) -> float:
        """The share of a matrix's weights that moves after this update."""
        return self.plan.drop

    @abstractmethod
    def worth(self, name: str, step: int) -> Tensor:
        """A score per place of the matrix, the highest of the empty ones being filled."""

    def dropped(self, weight: Tensor, mask: Tensor, count: int) -> Tensor:
        """The mask without its ``count`` smallest weights."""
        return largest(weight, mask, int(mask.sum()) - count)

    def due(self, step: int) -> Mapping[str, Tensor]:
        if step not in self.moments:
            return {}
        found = {}
        for name, mask in self.masks.items():
            alive = int(mask.sum())
            count = min(int(self.share(step) * alive), mask.numel() - alive)
            if count:
                stays = self.dropped(self.weights[name], mask, count)
                grown = largest_of(
                    self.worth(name, step), ~stays & self.allowed[name], alive - int(stays.sum())
                )
                found[name] = stays | grown
        return found


class SET(Rewired):
    """New places at random (Mocanu et al. 2018, arXiv 1707.04780, algorithm 2).

    Of the positive weights and of the negative ones the same share goes, and a new weight is drawn
    as widely as the matrix was at the start.
    """

    def __init__(self, setting: Setting, names: frozenset[str], plan: Plan) -> None:
        self.spread = {
            name: float(parameter.detach().std(correction=0))
            for name, parameter in setting.model.named_parameters()
            if name in names
        }
        super().__init__(setting, names, plan)

    def worth(self, name: str, step: int) -> Tensor:
        weight = self.weights[name]
        place = list(self.weights).index(name)
        generator = self.setting.random(GROW, step, place)
        return torch.rand(weight.shape, dtype=torch.float64, generator=generator).to(weight.device)

    def dropped(self, weight: Tensor, mask: Tensor, count: int) -> Tensor:
        above, below = mask & (weight > 0), mask & (weight <= 0)
        of_above = round(count * int(above.sum()) / max(int(mask.sum()), 1))
        return largest(weight, above, int(above.sum()) - of_above) | largest(
            weight, below, int(below.sum()) - (count - of_above)
        )

    @torch.no_grad()
    def after_step(self, step: int, optimizer: torch.optim.Optimizer) -> None:
        before = self.state() if step in self.moments else {}
        super().after_step(step, optimizer)
        for place, (name, old) in enumerate(before.items()):
            weight, new = self.weights[name], self.masks[name] & ~old
            generator = self.setting.random(RENEW, step, place)
            drawn = torch.randn(weight.shape, generator=generator) * self.spread[name]
            weight.copy_(torch.where(new, drawn.to(weight), weight))


class RigL(Rewired):
    """New places where the loss falls fastest (Evci et al. 2020, arXiv 1911.11134, algorithm 1).

    The share that moves falls along a cosine to zero at the end; new weights start at zero.
    """

    def __init__(self, setting: Setting, names: frozenset[str], plan: Plan) -> None:
        super().__init__(setting, names, plan)
        self._slopes: dict[str, Tensor] = {}

    def share(self, step: int) -> float:
        return cosine(step / (self.plan.end * self.setting.steps), self.plan.drop)

    def before_step(self, step: int) -> None:
        if step in self.moments:
            self._slopes = {
                name: torch.zeros_like(weight) if weight.grad is None else weight.grad.clone()
                for name, weight in self.weights.items()
            }
        super().before_step(step)

    def worth(self, name: str, step: int) -> Tensor:
        return self._slopes.pop(name).abs()


def largest_of(score: Tensor, allowed: Tensor, count: int) -> Tensor:
    """The mask of the ``count`` highest scores among the places allowed."""
    return largest(score, allowed, count) & allowed


def cosine(progress: float, start: float) -> float:
    """start (1 + cos(pi progress)) / 2, and zero from progress one on."""
    return start / 2 * (1 + math.cos(math.pi * progress)) if progress < 1 else 0.0


def evolve(
    setting: Setting,
    density: float,
    allocation: str = "erk",
    which: str = "stages",
    updates: int = 20,
    end: float = 1.0,
    drop: float = 0.3,
) -> Masks:
    """Sparse evolutionary training; see :class:`SET`."""
    names = prunable(setting.model, which)
    return SET(setting, names, Plan(density, allocation, updates, end, drop))


def rigl(
    setting: Setting,
    density: float,
    allocation: str = "erk",
    which: str = "stages",
    updates: int = 20,
    end: float = 0.75,
    drop: float = 0.3,
) -> Masks:
    """The rigged lottery; see :class:`RigL`."""
    names = prunable(setting.model, which)
    return RigL(setting, names, Plan(density, allocation, updates, end, drop))
