"""Activations put together from two unary functions and a binary one, as a space to search.

The core unit of Ramachandran, Zoph & Le 2017, arXiv 1710.05941, section 3: f(x) =
binary(first(x), second(x)). What grows exponentially is cut off at inputs of 10, and a root or a
quotient is kept away from zero, so that no training ends by an overflow alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from archsearch.kernels.one_type import mix

EPSILON = 1e-3
CUT = 10.0


def _cut(x: Tensor) -> Tensor:
    return x.clamp(-CUT, CUT)


UNARY: Mapping[str, Callable[[Tensor], Tensor]] = {
    "x": lambda x: x,
    "negative": torch.neg,
    "abs": torch.abs,
    "square": torch.square,
    "cube": lambda x: x * x * x,
    "root": lambda x: torch.sqrt(x.abs() + EPSILON),
    "log": lambda x: torch.log(x.abs() + EPSILON),
    "exp": lambda x: torch.exp(_cut(x)),
    "sin": torch.sin,
    "cos": torch.cos,
    "sinh": lambda x: torch.sinh(_cut(x)),
    "cosh": lambda x: torch.cosh(_cut(x)),
    "tanh": torch.tanh,
    "asinh": torch.asinh,
    "atan": torch.atan,
    "sinc": lambda x: torch.sinc(x / torch.pi),
    "relu": functional.relu,
    "below": lambda x: x.clamp(max=0),
    "sigmoid": torch.sigmoid,
    "softplus": functional.softplus,
    "bell": lambda x: torch.exp(-x.square()),
    "erf": torch.erf,
}
BINARY: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "add": lambda a, b, _: a + b,
    "multiply": lambda a, b, _: a * b,
    "subtract": lambda a, b, _: a - b,
    "divide": lambda a, b, _: a * b / (b.square() + EPSILON),
    "max": lambda a, b, _: torch.maximum(a, b),
    "min": lambda a, b, _: torch.minimum(a, b),
    "gate": lambda a, b, _: torch.sigmoid(a) * b,
    "bell": lambda a, b, beta: torch.exp(-beta.abs() * (a - b).square()),
    "laplace": lambda a, b, beta: torch.exp(-beta.abs() * (a - b).abs()),
    "mix": lambda a, b, beta: mix(beta, a, b),
}
# these have a learned number per unit
SCALED = ("bell", "laplace", "mix")


class Composed(nn.Module):
    """binary(first(a x), second(x)), with a learned a per unit that starts at 1.

    The binary functions bell, laplace and mix have another, which starts at a half.
    """

    def __init__(
        self, units: int, first: str = "x", second: str = "sigmoid", binary: str = "multiply"
    ) -> None:
        super().__init__()
        self.first, self.second, self.binary = first, second, binary
        self.scale = nn.Parameter(torch.ones(units))
        self.mixing = nn.Parameter(torch.full((units,), 0.5)) if binary in SCALED else None

    def forward(self, x: Tensor) -> Tensor:
        mixing = self.scale if self.mixing is None else self.mixing
        joined = BINARY[self.binary]
        return joined(UNARY[self.first](self.scale * x), UNARY[self.second](x), mixing)
