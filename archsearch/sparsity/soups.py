"""Iterative pruning with model soups (Zimmer et al. 2024, arXiv 2306.16788).

The smallest weights go, several copies are retrained from what is left, and the next round prunes
their average. Copies of one round share a mask, so their average has it, too.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from archsearch.sparsity.magnitude import Shrinking
from archsearch.sparsity.masks import Masks, Setting
from archsearch.sparsity.patterns import Pattern
from archsearch.sparsity.roles import prunable

PROBES = 4  # batches that a greedy soup is tasted on
SPREAD = 2.0  # how far the rates of the first and the last copy are from the middle one

Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class Course:
    """Which update belongs to which copy: ``dense`` ones come first, then round after round.

    ``ends`` is the last update of every copy, and every round has ``copies`` of them.
    """

    dense: int
    ends: tuple[int, ...]
    copies: int

    @classmethod
    def over(cls, steps: int, begin: float, rounds: int, copies: int) -> Course:
        """An even course; of less rounds and copies where each could not have an update."""
        dense = min(int(begin * steps), steps - 1)
        left = steps - dense
        rounds = min(rounds, left)
        copies = min(copies, left // rounds)
        pieces = rounds * copies
        return cls(dense, tuple(dense + left * k // pieces for k in range(1, pieces + 1)), copies)

    @property
    def rounds(self) -> int:
        return len(self.ends) // self.copies

    def prunings(self, made: int) -> int:
        """How often was pruned once so many updates were made."""
        if made < self.dense:
            return 0
        done = sum(end <= made for end in self.ends) // self.copies
        return min(done + 1, self.rounds)

    def piece(self, step: int) -> tuple[int, int, int]:
        """Number of the copy that an update belongs to, -1 for none, and where that lies."""
        if step <= self.dense:
            return -1, 0, self.dense
        number = bisect_left(self.ends, step)
        return number, (self.dense, *self.ends)[number], self.ends[number]


class Soup(Shrinking):
    """Each copy begins at the pruned weights, with an optimizer that knows nothing, and ends alone.

    ``greedy`` adds copies to the average from the best on, each if it betters the loss on batches
    of its own; else all are averaged. With ``varied`` rates they spread from half to twice.
    """

    def __init__(
        self,
        setting: Setting,
        names: Iterable[str],
        course: Course,
        density: float,
        pattern: Pattern,
        allocation: str,
        *,
        greedy: bool = False,
        varied: bool = False,
    ) -> None:
        def target(made: int) -> float:
            return float(density ** (course.prunings(made) / course.rounds))

        super().__init__(setting, names, target, pattern, allocation)
        self.setting, self.course = setting, course
        self.greedy, self.varied = greedy, varied
        self._trained = {n: p for n, p in setting.model.named_parameters() if p.requires_grad}
        self._copies = [_like(self._trained) for _ in range(course.copies)]
        if course.dense == 0:
            self.begin(self.due(0))
        self._base = _copied(self._trained)

    def rate(self, step: int, steps: int, planned: Callable[[int, int], float]) -> float:
        """Every copy, and the dense training before, warms up and decays as a whole training."""
        number, before, last = self.course.piece(step)
        share = planned(step - before, last - before)
        if number < 0 or not self.varied or self.course.copies == 1:
            return share
        place = number % self.course.copies / (self.course.copies - 1)
        return share * SPREAD ** (2 * place - 1)

    @torch.no_grad()
    def after_step(self, step: int, optimizer: Optimizer) -> None:
        number, _, last = self.course.piece(step)
        done = number >= 0 and step == last
        if done:
            copy = number % self.course.copies
            for name, mask in self.masks.items():
                self.weights[name].masked_fill_(~mask, 0)
            _take(self._copies[copy], self._trained)
            ended = copy + 1 == self.course.copies
            _take(self._trained, self._soup(number) if ended else self._base)
        super().after_step(step, optimizer)
        if done or step == self.course.dense:
            _take(self._base, self._trained)
            for memory in optimizer.state.values():
                for held in memory.values():
                    held.zero_()

    def _soup(self, number: int) -> Weights:
        if not self.greedy:
            return average(self._copies, self.masks)

        def taste(weights: Weights) -> float:
            _take(self._trained, weights)
            first = number * PROBES
            losses = [self.setting.probe(first + k).item() for k in range(PROBES)]
            return math.fsum(losses) / PROBES

        tasted = sorted(
            ((taste(copy), place) for place, copy in enumerate(self._copies)),
            key=lambda found: (not math.isfinite(found[0]), *found),
        )
        (best, first), *others = tasted
        chosen = [self._copies[first]]
        for _, place in others:
            more = [*chosen, self._copies[place]]
            if (loss := taste(average(more, self.masks))) < best:
                best, chosen = loss, more
        return average(chosen, self.masks)

    def state(self) -> dict[str, Tensor]:
        found = super().state()
        for kind, weights in self._kept().items():
            found |= {f"{kind}.{name}": weight.clone() for name, weight in weights.items()}
        return found

    def restore(self, state: Mapping[str, Tensor]) -> None:
        super().restore(state)
        for kind, weights in self._kept().items():
            _take(weights, {name: state[f"{kind}.{name}"] for name in weights})

    def _kept(self) -> dict[str, dict[str, Tensor]]:
        return {"base": self._base} | {f"copy{k}": copy for k, copy in enumerate(self._copies)}


def average(copies: Sequence[Weights], masks: Weights) -> dict[str, Tensor]:
    """The mean of every parameter; raises ValueError where a copy has weights that are masked."""
    for name, mask in masks.items():
        if any(copy[name][~mask].any() for copy in copies):
            raise ValueError(f"the copies of {name} do not share a mask; their average has none")
    return {name: torch.stack([copy[name] for copy in copies]).mean(0) for name in copies[0]}


def _like(weights: Weights) -> dict[str, Tensor]:
    return {name: torch.zeros_like(weight) for name, weight in weights.items()}


def _copied(weights: Weights) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in weights.items()}


@torch.no_grad()
def _take(into: Weights, of: Weights) -> None:
    for name, weight in into.items():
        weight.copy_(of[name])


def soup(
    setting: Setting,
    density: float,
    begin: float = 0.4,
    rounds: int = 3,
    copies: int = 3,
    taken: str = "all",
    rates: str = "same",
    which: str = "stages",
    pattern: str = "unstructured",
    block: int = 4,
    allocation: str = "global",
) -> Masks:
    """See :class:`Soup`; each round keeps the same share of what the one before left."""
    return Soup(
        setting,
        prunable(setting.model, which),
        Course.over(setting.steps, begin, rounds, copies),
        density,
        Pattern(pattern, block),
        allocation,
        greedy=taken == "greedy",
        varied=rates == "spread",
    )
