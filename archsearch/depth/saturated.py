"""A stage that a position leaves once a loop changes it little; nothing is trained for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from archsearch.depth.loops import FixedDepth, HaltingByPosition, Spent


class SaturatedDepth(HaltingByPosition, FixedDepth):
    """In evaluation a position stops after the first loop that changes it by less than ``rest``.

    ``measure`` "latent" is |x_r - x_{r-1}| / |x_r|; "answer" the divergence KL(p_r, p_{r-1}) of
    what the network's norm and head would say of the position alone, p_0 of what came into the
    stage; of a single number it is the relative difference. Training takes all loops. A position
    that has stopped is copied forward, so that later ones can still see it in every loop (both
    exits of arXiv 2502.05171, section 6.2).
    """

    def __init__(
        self, tie: nn.Module, width: int, loops: int, rest: float = 0.03, measure: str = "latent"
    ) -> None:
        super().__init__(tie, width, loops)
        self.rest, self.measure = rest, measure
        # the network's own norm and head, out of the sight of what lists modules and parameters
        self._ends: tuple[nn.Module, ...] = ()

    def reads(self, norm: nn.Module, head: nn.Module) -> None:
        """What the network makes of the stream at its end."""
        self._ends = (norm, head)

    def forward(self, x: Tensor) -> tuple[Tensor, Spent]:
        if self.training:
            return FixedDepth.forward(self, x)
        y, loops = self.over_sequence(x)
        return y, Spent(loops=loops, cost=torch.zeros_like(loops))

    def step(self, x_t: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        return FixedDepth.step(self, x_t, state) if self.training else super().step(x_t, state)

    def run(
        self, x: Tensor, apply: Callable[[Tensor, int], Tensor], *, until_all_stopped: bool
    ) -> tuple[Tensor, Tensor]:
        running = torch.ones_like(x[..., 0], dtype=torch.bool)
        loops = torch.zeros_like(x[..., 0])
        for loop in range(self.loops):
            before, x = x, torch.where(running[..., None], apply(x, loop), x)
            loops = loops + running
            running = running & self.goes_on(before, x)
            if until_all_stopped and not running.any():
                break
        return x, loops

    def goes_on(self, before: Tensor, after: Tensor) -> Tensor:
        """Whether a loop changed a position enough for another, (..)."""
        one, other = self._said(before), self._said(after)
        if self.measure == "answer" and other.shape[-1] > 1:
            return (other.exp() * (other - one)).sum(-1) >= self.rest
        return (other - one).norm(dim=-1) >= self.rest * other.norm(dim=-1)

    def _said(self, x: Tensor) -> Tensor:
        """What is compared between two loops, (.., numbers)."""
        if self.measure == "latent":
            return x
        norm, head = self._ends
        # a sequence of one step for each position
        answers = head(norm(x.reshape(-1, 1, x.shape[-1]))).reshape(*x.shape[:-1], -1)
        return answers if answers.shape[-1] == 1 else answers.log_softmax(-1)
