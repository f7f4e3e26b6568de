"""Each loop keeps fewer positions: those that a router finds most in need of it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from archsearch.blocks.padding import real_positions
from archsearch.blocks.structure.chosen import highest, step_chosen, through_chosen
from archsearch.depth.loops import Spent


class NarrowedDepth(nn.Module):
    """Of R loops, loop r is for (R - r + 1) / R of the positions, out of those of the loop before.

    x + ``scale`` sigmoid(s_r) (f(x) - x) with a router s_r for each loop, and a loop sees the
    sequence of its own positions alone: the expert choice of Mixture-of-Recursions (Bae et al.
    2025, arXiv 2507.10524, section 2.2.1). In training the highest s_r are kept, which looks ahead,
    and ``weight`` times the cross entropy of sigmoid(s_r) with that choice is part of the loss; in
    use a position goes on while s_r is above zero.
    """

    any_loops = False  # there is a router for each
    compares = True

    def __init__(
        self, tie: nn.Module, width: int, loops: int, weight: float = 0.1, scale: float = 1.0
    ) -> None:
        super().__init__()
        self.tie, self.loops, self.weight, self.scale = tie, loops, weight, scale
        self.router = nn.Linear(width, loops)

    def forward(self, x: Tensor) -> tuple[Tensor, Spent]:
        first, kept = x, torch.ones_like(x[..., 0], dtype=torch.bool)
        real = real_positions(x)
        loops = cost = torch.zeros_like(x[..., 0])
        for loop in range(self.loops):
            scores = self._scores(x, loop)
            before = kept
            kept = self._kept(scores, kept, loop, real)
            if self.training and loop:
                each = binary_cross_entropy_with_logits(
                    scores, kept.to(scores.dtype), reduction="none"
                )
                cost = cost + self.weight * torch.where(before, each, 0.0)

            def advance(x: Tensor, first: Tensor, loop: int = loop) -> Tensor:
                return self.tie(x, loop, first)  # type: ignore[no-any-return]

            y = through_chosen(advance, kept, x, first) if loop else advance(x, first)
            x = self._mixed(x, y, scores)
            loops = loops + kept
        return x, Spent(loops, cost)

    def initial_state(self, batch: int) -> tuple[Any, ...]:
        return tuple(
            tuple(self.tie.initial_state(1) for _ in range(batch)) for _ in range(self.loops)
        )

    def step(self, x_t: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        first, after = x_t, []
        kept = torch.ones_like(x_t[:, 0], dtype=torch.bool)
        for loop, before in enumerate(state):
            scores = self._scores(x_t, loop)
            kept = kept & (scores > 0) if loop else kept

            def advance(x: Tensor, state: Any, first: Tensor, loop: int = loop) -> Any:
                return self.tie.step(x, state, loop, first)

            y_t, now = step_chosen(advance, kept, before, x_t, first)
            x_t = self._mixed(x_t, y_t, scores)
            after.append(now)
        return x_t, tuple(after)

    def _scores(self, x: Tensor, loop: int) -> Tensor:
        return self.router(x)[..., loop]

    def _kept(self, scores: Tensor, kept: Tensor, loop: int, real: Tensor | None) -> Tensor:
        """The positions of this loop, all of the first."""
        if not loop:
            return kept
        if not self.training:
            return kept & (scores > 0)
        return highest(scores, (self.loops - loop) / self.loops, kept, real)

    def _mixed(self, x: Tensor, y: Tensor, scores: Tensor) -> Tensor:
        return x + self.scale * torch.sigmoid(scores)[..., None] * (y - x)
