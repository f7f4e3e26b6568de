"""Channel mixers besides perceptrons and splines: quadratic neurons, random features."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from archsearch.blocks.activations.activations import open_activation
from archsearch.blocks.channels.channels import hidden_units


class QuadraticLinear(nn.Module):
    """(W_r x + b_r) (W_g x + b_g) + W_b (x x) + c, with products feature by feature.

    It starts as the linear map W_r x + b_r: W_g, W_b and c at zero, b_g at one (ReLinear, Fan et
    al. 2021, arXiv 2110.06081). Three times the weights of a linear map.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear, self.gate = nn.Linear(inputs, outputs), nn.Linear(inputs, outputs)
        self.square = nn.Linear(inputs, outputs)
        for part in (self.gate, self.square):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)
        nn.init.ones_(self.gate.bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.square(x.square()), self.linear(x), self.gate(x))


class Quadratic(nn.Module):
    """A perceptron whose hidden units are quadratic neurons; 4 expand width^2 weights."""

    def __init__(
        self, width: int, expand: float = 1.0, activation: str = "relu", **options: float | str
    ) -> None:
        super().__init__()
        hidden = hidden_units(width, expand)
        self.into = QuadraticLinear(width, hidden)
        self.out = nn.Linear(hidden, width)
        self.activation = open_activation(activation, hidden, **options)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.activation(self.into(x)))


class RandomFeatures(nn.Module):
    """out(sqrt(2 / n) cos(F x + b)) with n = expand width frozen features F ~ N(0, 1 / scale^2).

    The random kitchen sink of a Gaussian kernel (Rahimi & Recht 2007), in place of a trained first
    map as in scalable neural network kernels (Sehanobish et al. 2023, arXiv 2310.13225). Only
    expand width^2 weights are trained.
    """

    frequencies: Tensor
    phases: Tensor

    def __init__(self, width: int, expand: float = 4.0, scale: float = 1.0) -> None:
        super().__init__()
        features = hidden_units(width, expand)
        # inputs of unit variance are sqrt(width) long
        drawn = torch.randn(features, width) / (scale * math.sqrt(width))
        self.register_buffer("frequencies", drawn)
        self.register_buffer("phases", 2 * torch.pi * torch.rand(features))
        self.out = nn.Linear(features, width)

    def forward(self, x: Tensor) -> Tensor:
        turned = torch.cos(nn.functional.linear(x, self.frequencies, self.phases))
        return self.out(math.sqrt(2 / len(self.phases)) * turned)
