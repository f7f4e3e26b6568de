"""A stage that a position leaves once a loop changes it little; nothing is trained for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from archsearch.depth.loops import FixedDepth, Spent


class SaturatedDepth(FixedDepth):
    """In evaluation a position stops after the first loop with |x_r - x_{r-1}| < rest |x_r|.

    Training takes all loops. A position that has stopped is copied forward, so that later ones can
    still see it in every loop (the exit by latent difference of arXiv 2502.05171, section 6.2).
    """

    def __init__(self, tie: nn.Module, width: int, loops: int, rest: float = 0.03) -> None:
        super().__init__(tie, width, loops)
        self.rest = rest

    def forward(self, x: Tensor) -> tuple[Tensor, Spent]:
        if self.training:
            return super().forward(x)
        first = x

        def advance(x: Tensor, loop: int) -> Tensor:
            return self.tie(x, loop, first)  # type: ignore[no-any-return]

        y, loops = self._run(x, advance, until_all_stopped=True)
        return y, Spent(loops=loops, cost=torch.zeros_like(loops))

    def step(self, x_t: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        if self.training:
            return super().step(x_t, state)
        first, after = x_t, []

        def advance(x: Tensor, loop: int) -> Tensor:
            x, now = self.tie.step(x, state[loop], loop, first)
            after.append(now)
            return x

        y, _ = self._run(x_t, advance, until_all_stopped=False)
        return y, tuple(after)

    def _run(
        self, x: Tensor, apply: Callable[[Tensor, int], Tensor], *, until_all_stopped: bool
    ) -> tuple[Tensor, Tensor]:
        running = torch.ones_like(x[..., 0], dtype=torch.bool)
        loops = torch.zeros_like(x[..., 0])
        for loop in range(self.loops):
            y = torch.where(running[..., None], apply(x, loop), x)
            loops = loops + running
            running = running & ((y - x).norm(dim=-1) >= self.rest * y.norm(dim=-1))
            x = y
            if until_all_stopped and not running.any():
                break
        return x, loops
