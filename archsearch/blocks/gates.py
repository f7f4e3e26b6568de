"""How what a layer computes meets the stream it read from."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn


class Gate(nn.Module):
    """``Gate(width, **options)``; it looks at one position at a time and needs no state."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    @abstractmethod
    def forward(self, x: Tensor, fx: Tensor) -> Tensor:
        """What goes on, given the stream x and what the layer made of it; all (.., width)."""


class Additive(Gate):
    """The residual stream, x + f(x)."""

    def forward(self, x: Tensor, fx: Tensor) -> Tensor:
        return x + fx


class Replace(Gate):
    """No stream: f(x) alone."""

    # a gate is always given the stream
    def forward(self, x: Tensor, fx: Tensor) -> Tensor:
        return fx


class Highway(Gate):
    """A coupled gate: t f(x) + (1 - t) x with t = sigmoid(W x + bias).

    Every output lies between x and f(x). ``bias`` is where t starts; below zero the stream is
    carried through (Srivastava et al. 2015, arXiv 1505.00387, equation 3).
    """

    def __init__(self, width: int, bias: float = -2.0) -> None:
        super().__init__(width)
        self.transform = nn.Linear(width, width)
        nn.init.constant_(self.transform.bias, bias)

    def forward(self, x: Tensor, fx: Tensor) -> Tensor:
        return torch.lerp(x, fx, torch.sigmoid(self.transform(x)))
