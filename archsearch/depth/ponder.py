"""Halting by a distribution over loops: training weighs what every loop would have answered."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from archsearch.depth.loops import Exits, HaltingByPosition, Spent


class PonderDepth(HaltingByPosition):
    """After each loop a position halts with a probability of its own; the last takes what is left.

    Training lowers the mean of the loops' losses by these probabilities, and ``weight`` times their
    divergence from a geometric distribution of parameter ``prior``, cut to ``loops`` and summing to
    one again. In use a position's answer is that of the first loop with which it has halted more
    likely than not; its loops still go on for the positions behind it (Banino et al. 2021, arXiv
    2107.05407, equations 2 to 5). A halting unit starts at the prior.
    """

    # of a position that is still less likely than this to go on, the loops of use end
    until = 0.5

    def __init__(
        self, tie: nn.Module, width: int, loops: int, prior: float = 0.3, weight: float = 0.01
    ) -> None:
        super().__init__(tie, width, loops)
        self.prior, self.weight = prior, weight
        self.halt = nn.Linear(width, 1)
        nn.init.constant_(self.halt.bias, math.log(prior / (1 - prior)))

    def exits(self, x: Tensor) -> Exits:
        """What each loop would answer, and how likely it is the last."""
        first, outputs, halts = x, [], []
        for loop in range(self.loops):
            x = self.tie(x, loop, first)
            outputs.append(x)
            halts.append(self.halt(x).squeeze(-1))
        logs = log_shares(torch.stack(halts))
        expected = log_geometric(self.prior, self.loops).to(logs)[:, None, None]
        divergence = (logs.exp() * (logs - expected)).sum(0)
        return Exits(torch.stack(outputs), logs.exp(), self.weight * divergence)

    def forward(self, x: Tensor) -> tuple[Tensor, Spent]:
        if self.training:
            found = self.exits(x)
            # the halving of what is left tells the loop of use
            last = (found.shares.cumsum(0)[:-1] <= 0.5).sum(0)  # (batch, time)
            places = last[None, ..., None].expand(1, *x.shape)
            y = found.outputs.gather(0, places).squeeze(0)
            return y, Spent((last + 1).to(x.dtype), found.cost)
        y, loops = self.over_sequence(x)
        return y, Spent(loops, torch.zeros_like(loops))

    def run(
        self, x: Tensor, apply: Callable[[Tensor, int], Tensor], *, until_all_stopped: bool
    ) -> tuple[Tensor, Tensor]:
        """The answer of each position, and the loops it took."""
        y, loops, left = x, torch.zeros_like(x[..., 0]), torch.ones_like(x[..., 0])
        for loop in range(self.loops):
            running = left >= self.until
            if until_all_stopped and not running.any():
                break
            x = apply(x, loop)
            y, loops = torch.where(running[..., None], x, y), loops + running
            left = left * torch.sigmoid(-self.halt(x).squeeze(-1))
        return y, loops


def log_shares(halts: Tensor) -> Tensor:
    """Logarithms of the probabilities (loops, ..) that each loop is the last, from logits."""
    go = torch.nn.functional.logsigmoid(-halts[:-1])
    before = torch.cat([torch.zeros_like(halts[:1]), go.cumsum(0)])
    # the last loop halts whatever its logit says
    stop = torch.cat([torch.nn.functional.logsigmoid(halts[:-1]), torch.zeros_like(halts[:1])])
    return before + stop


def log_geometric(prior: float, loops: int) -> Tensor:
    """Logarithms of prior (1 - prior)^r for r = 0 .. loops - 1, scaled to sum to one; (loops,)."""
    logs = math.log(prior) + torch.arange(loops, dtype=torch.float64) * math.log1p(-prior)
    return logs - logs.logsumexp(0)
