"""Pruning by magnitude, gradually (Zhu and Gupta 2017, arXiv 1710.01878) or all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

from archsearch.errors import ArchitectureError
from archsearch.sparsity.allocation import allocate
from archsearch.sparsity.masks import Masks, Setting, largest
from archsearch.sparsity.patterns import Pattern
from archsearch.sparsity.roles import prunable
from archsearch.sparsity.waking import holding


class Shrinking(Masks):
    """The smallest weights go first and for good, along a schedule.

    ``target(updates)`` is the density due once so many updates were made and never rises;
    ``allocation`` says how the matrices share it. A share ``activate`` of what goes each time are
    weights that keep hidden units at zero, where there are any (:mod:`archsearch.sparsity.waking`).
    """

    def __init__(
        self,
        setting: Setting,
        names: Iterable[str],
        target: Callable[[int], float],
        pattern: Pattern,
        allocation: str,
        activate: float = 0.0,
    ) -> None:
        super().__init__(setting.model, names, pattern)
        self.setting, self.activate = setting, activate
        self.target, self.allocation = target, allocation
        if allocation != "global":
            # what does not fit at the end is told before the training
            allocate(self.shapes, target(setting.steps), allocation)

    def due(self, step: int) -> Mapping[str, Tensor]:
        density = self.target(step)
        if density >= self.density().prunable:
            return {}
        scores = {
            name: weight.abs().masked_fill(~self.masks[name], -1)
            for name, weight in self.weights.items()
        }
        counts = allocate(self.shapes, density, self.allocation, scores)
        held = holding(self.setting) if self.activate else {}
        return {name: self._smaller(name, count, held) for name, count in counts.items()}

    def _smaller(self, name: str, weights: int, held: Mapping[str, Tensor]) -> Tensor:
        weight, mask, pattern = self.weights[name], self.masks[name], self.pattern
        if name in held:
            weight = self._woken(weight, mask, held[name], weights)
        alive = pattern.alive(mask)
        count = min(pattern.count(weights, weight.shape), int(alive.sum()))
        return pattern.mask(largest(pattern.scores(weight), alive, count), weight.shape) & mask

    def _woken(self, weight: Tensor, mask: Tensor, held: Tensor, weights: int) -> Tensor:
        """The weights, zero where they hold back most."""
        held = held * mask
        budget = round(self.activate * (int(mask.sum()) - weights))
        first = largest(held, mask, min(budget, int((held > 0).sum())))
        return weight.detach().masked_fill(first, 0)


def cubic(progress: float, initial: float, final: float) -> float:
    """The sparsity at a fraction of the pruning window, clamped to it (equation 1)."""
    left = 1 - min(max(progress, 0.0), 1.0)
    return final + (initial - final) * left**3


def magnitude(
    setting: Setting,
    density: float,
    begin: float = 0.25,
    end: float = 0.75,
    updates: int = 20,
    which: str = "stages",
    pattern: str = "unstructured",
    block: int = 4,
    allocation: str = "uniform",
    activate: float = 0.0,
) -> Masks:
    """Masks that go from dense to ``density`` between two fractions of the training.

    Weights are pruned ``updates`` times, evenly spaced; the defaults for ``begin`` and ``end`` are
    those of arXiv 2501.12486. Raises ArchitectureError where the window ends before it begins.
    """
    if begin > end:
        raise ArchitectureError(
            f"sparsity 'magnitude': begin must not be after end, got begin {begin} and end {end}"
        )
    first, last = begin * setting.steps, end * setting.steps

    def target(made: int) -> float:
        if made >= last:
            return density
        if made < first:
            return 1.0
        # the number of prunings so far, over all of them
        progress = int((made - first) / (last - first) * updates) / updates
        return 1 - cubic(progress, 0.0, 1 - density)

    names = prunable(setting.model, which)
    return Shrinking(setting, names, target, Pattern(pattern, block), allocation, activate)


def one_shot(
    setting: Setting,
    density: float,
    at: float = 0.5,
    which: str = "stages",
    pattern: str = "unstructured",
    block: int = 4,
    allocation: str = "uniform",
    activate: float = 0.0,
) -> Masks:
    """Trained dense, pruned once after a fraction ``at`` of the training, then trained on."""

    def target(made: int) -> float:
        return density if made >= at * setting.steps else 1.0

    names = prunable(setting.model, which)
    return Shrinking(setting, names, target, Pattern(pattern, block), allocation, activate)
