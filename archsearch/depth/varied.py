"""A stage whose loops are drawn in training, so that other numbers of them serve as well."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from archsearch.depth.loops import FixedDepth

MOST = 4  # times the loops of evaluation


class VariedDepth(FixedDepth):
    """In training a number of loops for each batch, in evaluation ``loops``.

    The number is 1 + Poisson(rate) with the logarithm of the rate normal, of standard deviation
    ``spread``, such that its mean is ``loops``; at most four times that. Gradients reach back
    through the last ``truncate`` loops, through all where it is zero (Geiping et al. 2025, arXiv
    2502.05171, section 3.3).
    """

    def __init__(
        self, tie: nn.Module, width: int, loops: int, spread: float = 0.5, truncate: int = 0
    ) -> None:
        super().__init__(tie, width, loops)
        self.spread, self.truncate = spread, truncate

    def passes(self, x: Tensor) -> Iterator[Tensor]:
        loops = self.drawn() if self.training else self.loops
        first = x
        for loop in range(loops):
            if self.truncate and loop == loops - self.truncate:
                # the stage's input keeps its gradient where a tie reads it in every loop
                x = x.detach() if loop else x
            x = self.tie(x, loop, first)
            yield x

    def drawn(self) -> int:
        """One number of loops, from torch's global generator."""
        if self.loops == 1:
            return 1
        mean = math.log(self.loops - 1) - self.spread**2 / 2
        rate = torch.exp(mean + self.spread * torch.randn(()))
        return min(1 + int(torch.poisson(rate)), MOST * self.loops)
