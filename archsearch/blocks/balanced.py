"""A gate with a fixed share of the layer that keeps the variance of the stream."""

from __future__ import annotations

import torch
from torch import Tensor

from archsearch.blocks.gates import Gate


class Balanced(Gate):
    """sqrt(1 - share) x + sqrt(share) f(x): two parts of variance 1 make one.

    The residual of Kedia et al. 2024, arXiv 2403.09635, table 5. The share is no weight; the init
    ``deepscale`` sets it for the depth of the network.
    """

    def __init__(self, width: int, share: float = 0.1) -> None:
        super().__init__(width)
        self.register_buffer("share", torch.tensor(share))

    def forward(self, x: Tensor, fx: Tensor) -> Tensor:
        share = self.share.to(x.dtype)
        return (1 - share).sqrt() * x + share.sqrt() * fx
