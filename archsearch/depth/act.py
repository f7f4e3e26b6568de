"""Adaptive computation time: each position decides how often a stage is applied to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from archsearch.depth.loops import HaltingByPosition, Spent


@dataclass(frozen=True)
class Ponder:
    """How far each position has halted; every field has the shape of the positions.

    ``halted`` is the weight given out so far and ends at exactly one, ``remainder`` the weight of
    the last step, ``steps`` how many were taken, ``running`` whether another one follows. Only
    ``halted`` and ``remainder`` carry a gradient.
    """

    halted: Tensor
    remainder: Tensor
    steps: Tensor
    running: Tensor

    @classmethod
    def start(cls, like: Tensor) -> Ponder:
        zero = torch.zeros_like(like)
        return cls(zero, zero, zero, torch.ones_like(like, dtype=torch.bool))

    def weigh(self, p: Tensor, rest: float, last: bool) -> tuple[Tensor, Ponder]:
        """The weight of the next step and what follows from it.

        ``p`` is the probability of halting now. A position stops when it would leave no more than
        ``rest`` of its weight, or at the last step, and that step takes whatever is left, so that
        the weights of a position sum to one (Graves 2016, arXiv 1603.08983, equations 6 to 9).
        """
        left = 1 - self.halted
        full = torch.ones_like(self.running) if last else self.halted + p > 1 - rest
        stops, goes = self.running & full, self.running & ~full
        weight = torch.where(stops, left, torch.where(goes, p, torch.zeros_like(p)))
        return weight, Ponder(
            halted=self.halted + weight,
            remainder=torch.where(stops, left, self.remainder),
            steps=self.steps + self.running.to(self.steps.dtype),
            running=goes,
        )

    @property
    def cost(self) -> Tensor:
        """Steps taken plus the remainder, Graves' ponder cost."""
        return self.steps + self.remainder


class AdaptiveDepth(HaltingByPosition):
    """The sum of a stage's loops, weighted per position by halting probabilities.

    A position that has halted is copied forward, so that later positions can still see it in every
    loop: halting saves loops of a whole batch, and a stream always takes all of them.

    ``mode`` "accumulate" is that sum, "t2t_basic" what the released Universal Transformer does:
    each step's share is mixed into what was there, y to u x + (1 - u) y, so that the shares of a
    position fall short of one.

    ``threshold`` is the rest at which a position stops, ``weight`` what the loss pays for one loop
    or one remainder at a position. A halting unit starts at a probability of 0.73.
    """

    def __init__(
        self,
        tie: nn.Module,
        width: int,
        loops: int,
        threshold: float = 0.01,
        weight: float = 0.01,
        mode: str = "accumulate",
    ) -> None:
        super().__init__(tie, width, loops)
        self.mode, self.threshold, self.weight = mode, threshold, weight
        self.halt = nn.Linear(width, 1)
        nn.init.ones_(self.halt.bias)

    def forward(self, x: Tensor) -> tuple[Tensor, Spent]:
        y, ponder = self.over_sequence(x)
        return y, Spent(loops=ponder.steps, cost=self.weight * ponder.cost)

    def run(
        self, x: Tensor, apply: Callable[[Tensor, int], Tensor], *, until_all_stopped: bool
    ) -> tuple[Tensor, Ponder]:
        y = torch.zeros_like(x)
        ponder = Ponder.start(x[..., 0])
        for loop in range(self.loops):
            p = torch.sigmoid(self.halt(x)).squeeze(-1)
            active = ponder.running.unsqueeze(-1)
            weight, ponder = ponder.weigh(p, self.threshold, last=loop == self.loops - 1)
            x = torch.where(active, apply(x, loop), x)
            share = weight.unsqueeze(-1)
            y = y + share * x if self.mode == "accumulate" else y + share * (x - y)
            if until_all_stopped and not ponder.running.any():
                break
        return y, ponder
