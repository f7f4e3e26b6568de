"""Each position is given its number of loops before the first of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from archsearch.blocks.padding import real_positions
from archsearch.depth.loops import Spent


class RoutedDepth(nn.Module):
    """A router reads what comes into the stage and chooses among 1 ... ``loops`` loops.

    x + p (x_r - x) with r the most likely number and p its probability, through which the router
    learns: the token choice of Mixture-of-Recursions (Bae et al. 2025, arXiv 2507.10524, section
    2.2.1). A position that has had its loops is copied forward. ``balance`` is what the loss pays
    for uneven use, R sum_r f_r P_r with f_r the share of positions sent to r and P_r their mean
    probability (Fedus et al. 2021, arXiv 2101.03961, equation 4), ``price`` what it pays for each
    expected loop.
    """

    any_loops = False  # the router has an output for each
    compares = True

    def __init__(
        self,
        tie: nn.Module,
        width: int,
        loops: int,
        balance: float = 0.01,
        price: float = 0.0,
    ) -> None:
        super().__init__()
        self.tie, self.loops, self.balance, self.price = tie, loops, balance, price
        self.router = nn.Linear(width, loops)

    def forward(self, x: Tensor) -> tuple[Tensor, Spent]:
        def advance(h: Tensor, loop: int) -> Tensor:
            return self.tie(h, loop, x)  # type: ignore[no-any-return]

        p, chosen = self._route(x)
        y = self._run(x, p, chosen, advance, until_all_stopped=True)
        share = torch.nn.functional.one_hot(chosen, self.loops).to(p.dtype)
        even = self.loops * (_mean(share, x) * _mean(p, x)).sum()
        numbers = torch.arange(1, self.loops + 1, device=x.device, dtype=p.dtype)
        cost = self.balance * even + self.price * (p * numbers).sum(-1)
        return y, Spent(loops=(chosen + 1).to(p.dtype), cost=cost)

    def initial_state(self, batch: int) -> tuple[Any, ...]:
        return tuple(self.tie.initial_state(batch) for _ in range(self.loops))

    def step(self, x_t: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        after = []

        def advance(h: Tensor, loop: int) -> Tensor:
            h, now = self.tie.step(h, state[loop], loop, x_t)
            after.append(now)
            return h

        p, chosen = self._route(x_t)
        return self._run(x_t, p, chosen, advance, until_all_stopped=False), tuple(after)

    def _route(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Probabilities (.., loops) and the number of loops less one, (..)."""
        p = torch.softmax(self.router(x), -1)
        return p, p.argmax(-1)

    def _run(
        self,
        x: Tensor,
        p: Tensor,
        chosen: Tensor,
        apply: Callable[[Tensor, int], Tensor],
        *,
        until_all_stopped: bool,
    ) -> Tensor:
        h = x
        most = int(chosen.max()) + 1 if until_all_stopped else self.loops
        for loop in range(most):
            h = torch.where((chosen >= loop)[..., None], apply(h, loop), h)
        sure = p.gather(-1, chosen[..., None])
        return x + sure * (h - x)


def _mean(values: Tensor, x: Tensor) -> Tensor:
    """The mean of (batch, time, ..) over the real positions of x."""
    real = real_positions(x)
    if real is None:
        return values.mean((0, 1))
    return (values * real[..., None]).sum((0, 1)) / real.sum()
