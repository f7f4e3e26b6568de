"""The pointwise nonlinearities, by the names that a space file uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor
from torch.nn import functional


def relu2(x: Tensor) -> Tensor:
    """max(0, x)^2, elementwise (So et al. 2021, arXiv 2109.08668)."""
    return functional.relu(x).square()


def identity(x: Tensor) -> Tensor:
    """x as it is; as the gate of a GLU it makes the bilinear layer."""
    return x


FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "relu": functional.relu,
        "leaky_relu": functional.leaky_relu,
        "relu2": relu2,
        "gelu": functional.gelu,
        "silu": functional.silu,
        "mish": functional.mish,
        "selu": functional.selu,
        "softplus": functional.softplus,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "identity": identity,
    }
)


def activation_named(name: str) -> Callable[[Tensor], Tensor]:
    """The function of that name; raises ValueError with the names that exist."""
    if name not in FUNCTIONS:
        raise ValueError(f"activation must be one of {', '.join(FUNCTIONS)}, got '{name}'")
    return FUNCTIONS[name]
