"""Where the norm of a layer stands: ``Placement(norm, layer, gate)``.

A placement says what the layer reads of the stream and what goes on after it; both look at one
position at a time, so that streams and whole sequences are alike.
"""

from __future__ import annotations

from abc import abstractmethod
from copy import deepcopy

from torch import Tensor, nn


class Residual(nn.Module):
    """One layer around the stream: its norm and its gate; x is (.., width)."""

    def __init__(self, norm: nn.Module, layer: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.norm, self.layer, self.gate = norm, layer, gate

    @abstractmethod
    def enter(self, x: Tensor) -> Tensor:
        """What the layer reads of the stream."""

    @abstractmethod
    def leave(self, x: Tensor, fx: Tensor) -> Tensor:
        """What goes on, given the stream and what the layer made of it."""


class PreNorm(Residual):
    """gate(x, f(norm(x))): the stream itself is never normalised (arXiv 2002.04745)."""

    def enter(self, x: Tensor) -> Tensor:
        return self.norm(x)

    def leave(self, x: Tensor, fx: Tensor) -> Tensor:
        return self.gate(x, fx)


class PostNorm(Residual):
    """norm(gate(x, f(x))): the stream keeps its size, and long ones need a warm-up.

    The order of the first Transformer (Vaswani et al. 2017, arXiv 1706.03762, section 3.1).
    """

    def enter(self, x: Tensor) -> Tensor:
        return x

    def leave(self, x: Tensor, fx: Tensor) -> Tensor:
        return self.norm(self.gate(x, fx))


class Sandwich(Residual):
    """gate(x, after(f(norm(x)))), ``after`` a second norm with weights of its own.

    What a layer adds has a size that its weights cannot blow up (Ding et al. 2021, arXiv
    2105.13290, section 2.4).
    """

    def __init__(self, norm: nn.Module, layer: nn.Module, gate: nn.Module) -> None:
        super().__init__(norm, layer, gate)
        self.after = deepcopy(norm)

    def enter(self, x: Tensor) -> Tensor:
        return self.norm(x)

    def leave(self, x: Tensor, fx: Tensor) -> Tensor:
        return self.gate(x, self.after(fx))
