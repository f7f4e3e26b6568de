"""Linear maps that in use read only the inputs that count, and rectifiers that make more zeros.

While a model is trained they are plain linear maps. In use each position is looked at by itself, so
streams and whole sequences are alike. What they read is zero in places; the product with it is
computed like any other.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from torch import Tensor, nn

MAPS = {"channel": ("into", "out"), "cell": ("project", "output")}
Part = TypeVar("Part", bound=nn.Module)


class Thinned(nn.Linear, ABC):
    """A linear map with the weights of another one; reads all until something is calibrated."""

    def __init__(self, linear: nn.Linear) -> None:
        nn.Module.__init__(self)
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias

    @abstractmethod
    def thin(self, x: Tensor) -> Tensor:
        """x with zeros in place of the inputs that are not read."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if self.training else self.thin(x))


class Thresholded(Thinned):
    """Reads the inputs above a threshold in size (TEAL, Liu et al. 2024, arXiv 2408.14690)."""

    threshold: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.register_buffer("threshold", linear.weight.new_zeros(()))

    def thin(self, x: Tensor) -> Tensor:
        return x.masked_fill(x.abs() <= self.threshold, 0)


class Heaviest(Thinned):
    """Reads the ``kept`` inputs of each position with the largest |x_i| ||W_i||, W_i a column.

    WINA (Chen et al. 2025, arXiv 2505.19427), without a rotation: where columns are orthogonal no
    other choice has a smaller error.
    """

    kept: Tensor
    norms: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        kept = linear.weight.new_full((), linear.in_features, dtype=torch.int64)
        self.register_buffer("kept", kept)
        self.register_buffer("norms", linear.weight.new_ones(linear.in_features))

    def thin(self, x: Tensor) -> Tensor:
        best = (x.abs() * self.norms).topk(int(self.kept), -1).indices
        return torch.zeros_like(x).scatter(-1, best, x.gather(-1, best))


class Ranked(Thresholded):
    """W x_S + U V x_rest: small inputs pass a map of low rank near W (arXiv 2504.19449)."""

    down: Tensor
    up: Tensor

    def __init__(self, linear: nn.Linear, rank: float) -> None:
        super().__init__(linear)
        size = max(1, round(rank * min(linear.in_features, linear.out_features)))
        self.register_buffer("down", linear.weight.new_zeros(size, linear.in_features))
        self.register_buffer("up", linear.weight.new_zeros(linear.out_features, size))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        large = self.thin(x)
        return nn.functional.linear(large, self.weight, self.bias) + (
            (x - large) @ self.down.mT @ self.up.mT
        )


class Rectified(nn.Module):
    """An activation that becomes max(0, x - shift) once ``on``."""

    on: Tensor

    def __init__(self, before: Callable[[Tensor], Tensor], shift: float) -> None:
        super().__init__()
        self.before, self.shift = before, shift
        self.register_buffer("on", torch.zeros((), dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(x - self.shift) if self.on else self.before(x)


class RectifiedInput(Thinned):
    """A linear map that reads max(0, x) once ``on``, in training too."""

    on: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__(linear)
        self.register_buffer("on", torch.zeros((), dtype=torch.bool))

    def thin(self, x: Tensor) -> Tensor:
        return nn.functional.relu(x) if self.on else x

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.thin(x), self.weight, self.bias)


def thinned(block: Part, kind: str, which: str = "stages", rank: float = 0.1) -> Part:
    """The block with maps that can be calibrated; ``kind`` is teal, wina or r_sparse."""
    for layer, name in _maps(block, which):
        linear = getattr(layer, name)
        match kind:
            case "teal":
                setattr(layer, name, Thresholded(linear))
            case "wina":
                setattr(layer, name, Heaviest(linear))
            case _:
                setattr(layer, name, Ranked(linear, rank))
    return block


def rectified(block: Part, shift: float = 0.0, inputs: bool = False) -> Part:
    """The block with activations of its channel mixer that can become rectifiers.

    With ``inputs`` what the block's maps read of the stream, behind its norms, is rectified too.
    """
    channel = getattr(block, "channel", None)
    if channel is not None and callable(getattr(channel.layer, "activation", None)):
        channel.layer.activation = Rectified(channel.layer.activation, shift)
    for layer, name in _maps(block, "stages") if inputs else ():
        if name in ("into", "project"):
            setattr(layer, name, RectifiedInput(getattr(layer, name)))
    return block


def _maps(block: nn.Module, which: str) -> Iterator[tuple[nn.Module, str]]:
    """The linear maps of a block by module and name; those that are called as they are."""
    for part, names in MAPS.items():
        residual = getattr(block, part, None)
        layer = None if residual is None else residual.layer
        attends = part == "cell" and getattr(layer, "role", "") == "attention"
        if which in ("stages", part) or (which == "attention" and attends):
            for name in names:
                if type(getattr(layer, name, None)) is nn.Linear:
                    yield layer, name  # type: ignore[misc]
