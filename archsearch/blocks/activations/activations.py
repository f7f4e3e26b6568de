"""The nonlinearities, by the names that a space file uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

from archsearch.blocks.activations.bent_activations import CircaReLU, ReSCU
from archsearch.blocks.activations.clipped_activations import ClippedReLU, ClippedShrink
from archsearch.blocks.activations.composed_activation import Composed
from archsearch.blocks.activations.shaped_activations import (
    GeneralSmeLU,
    PolyNorm,
    PolyReLU,
    SmeLU,
    StochasticReLU,
    Swish,
    VeLU,
)

# where the Laplace function of arXiv 2209.10655 is centred, and how wide it is
LAPLACE_MEAN, LAPLACE_DEVIATION = 0.5**0.5, (0.25 / torch.pi) ** 0.5


def relu2(x: Tensor) -> Tensor:
    """max(0, x)^2, elementwise (So et al. 2021, arXiv 2109.08668)."""
    return functional.relu(x).square()


def gelu_sigmoid(x: Tensor) -> Tensor:
    """x sigmoid(1.702 x), within 0.021 of gelu (Hendrycks & Gimpel 2016, arXiv 1606.08415)."""
    return x * torch.sigmoid(1.702 * x)


def laplace(x: Tensor) -> Tensor:
    """A smooth step from 0 to 1 that is near squared relu (Ma et al. 2022, arXiv 2209.10655)."""
    return 0.5 * (1 + torch.erf((x - LAPLACE_MEAN) / (LAPLACE_DEVIATION * 2**0.5)))


def identity(x: Tensor) -> Tensor:
    """x as it is; as the gate of a GLU it makes the bilinear layer."""
    return x


FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "relu": functional.relu,
        "leaky_relu": functional.leaky_relu,
        "relu2": relu2,
        "gelu": functional.gelu,
        "gelu_tanh": partial(functional.gelu, approximate="tanh"),
        "gelu_sigmoid": gelu_sigmoid,
        "silu": functional.silu,
        "mish": functional.mish,
        "selu": functional.selu,
        "softplus": functional.softplus,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "laplace": laplace,
        "identity": identity,
    }
)
MODULES: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "swish": Swish,
        "smelu": SmeLU,
        "gsmelu": GeneralSmeLU,
        "velu": VeLU,
        "polyrelu": PolyReLU,
        "polynorm": PolyNorm,
        "crelu": ClippedReLU,
        "cst": ClippedShrink,
        "stochastic": StochasticReLU,
        "composed": Composed,
        "rescu": ReSCU,
        "circa": CircaReLU,
    }
)


def open_activation(
    name: str, units: int, **options: float | str
) -> Callable[[Tensor], Tensor] | nn.Module:
    """The nonlinearity of that name for (.., units); raises ValueError with the names there are."""
    if name in MODULES:
        return MODULES[name](units, **options)
    if name not in FUNCTIONS:
        known = ", ".join((*FUNCTIONS, *MODULES))
        raise ValueError(f"activation must be one of {known}, got '{name}'")
    return FUNCTIONS[name]
