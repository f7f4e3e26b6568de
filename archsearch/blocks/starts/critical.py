"""Weights and biases at criticality: signals neither fade nor explode, and stay apart.

K is the variance of pre-activations; one layer maps it to C_b + C_W E[f(z)^2], z of variance K.
Critical are C_W and C_b where K stays and both of its susceptibilities are 1 (Roberts, Yaida and
Hanin 2021, arXiv 2106.10165, section 5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from archsearch.blocks.starts.maps import blocks, mixer, projections
from archsearch.spec.signature import Signature

NODES = 160
LOW, HIGH = 0.02, 200.0


@dataclass(frozen=True)
class Critical:
    """Variances of weights (times the inputs) and of biases, and the pre-activations' own."""

    weights: float
    biases: float
    variance: float


def critical(activation: Callable[[Tensor], Tensor], units: int = 1) -> Critical:
    """The critical point of an activation of (.., units) that looks at each unit alone.

    For those that scale with their input, such as relu, that is C_W = 1 / E[f(z)^2] at every
    K; for those that are odd and bend, such as tanh, C_W = 1 / f'(0)^2, and K falls to zero
    slowly; for gelu and silu there is one K. Where there is none, as for sigmoid, weights are
    those that keep a variance of 1.
    """

    def gap(variance: float) -> float:
        """Parallel less perpendicular susceptibility, over C_W."""
        z, f, slope, weight = _moments(activation, units, variance)
        along = float((weight * (z**2 - variance) * f**2).sum()) / (2 * variance**2)
        return along - float((weight * slope**2).sum())

    keeping = _mean_square(activation, units, 1.0)
    usual = Critical(1 / max(keeping, 1e-12), 0.0, 1.0)
    grid = np.geomspace(LOW, HIGH, 60).tolist()
    gaps = [gap(variance) for variance in grid]
    if max(map(abs, gaps)) < 1e-3 * keeping:
        return usual
    for number in range(1, len(grid)):
        # what rounding turns round is no root, and towards zero every gap vanishes
        sides = [max(map(abs, side)) for side in (gaps[:number], gaps[number:])]
        if gaps[number - 1] * gaps[number] < 0 and min(sides) > 0.01 * keeping:
            variance = _root(gap, grid[number - 1], grid[number])
            _, _, slope, weight = _moments(activation, units, variance)
            weights = 1 / float((weight * slope**2).sum())
            biases = variance - weights * _mean_square(activation, units, variance)
            return Critical(weights, biases, variance) if biases >= 0 else usual
    _, f, slope, _ = _moments(activation, units, 1e-12)
    at_zero, steep = float(f.abs().max()), float(slope.abs().mean())
    return Critical(steep**-2, 0.0, 0.0) if at_zero < 1e-4 and steep > 1e-3 else usual


class Criticality:
    """Channel mixers at the critical point of their activation, cells' maps at variance 1 / inputs.

    ``into`` brings a stream of variance 1 to the pre-activations' own variance, and ``out``, with
    its biases, keeps it. A gated mixer, which the theory does not cover, starts as with he.
    """

    def __call__(self, model: nn.Module, signature: Signature) -> None:
        for block in blocks(model):
            for linear in projections(block):
                nn.init.normal_(linear.weight, std=linear.in_features**-0.5)
            found = mixer(block)
            if found is None:
                continue
            point = Critical(found.gain**2, 0.0, 1.0)
            if not found.gated:
                point = critical(found.activation, found.out.in_features)
            into = point.variance or point.weights
            nn.init.normal_(found.into.weight, std=(into / found.into.in_features) ** 0.5)
            nn.init.normal_(found.out.weight, std=(point.weights / found.out.in_features) ** 0.5)
            nn.init.zeros_(found.into.bias)
            nn.init.normal_(found.out.bias, std=point.biases**0.5)


@cache
def _quadrature() -> tuple[Tensor, Tensor]:
    """Nodes and weights of the standard normal distribution."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    return torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())


def _moments(
    activation: Callable[[Tensor], Tensor], units: int, variance: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Nodes z of that variance, f(z) and f'(z), means over the units, and the nodes' weights."""
    nodes, weights = _quadrature()
    z = nodes * variance**0.5
    with torch.enable_grad():
        wide = z[:, None].expand(-1, units).clone().requires_grad_()
        f = activation(wide)
        (slope,) = torch.autograd.grad(f.sum(), wide)
    return z, f.detach().mean(-1), slope.mean(-1), weights


def _mean_square(activation: Callable[[Tensor], Tensor], units: int, variance: float) -> float:
    _, f, _, weight = _moments(activation, units, variance)
    return float((weight * f**2).sum())


def _root(gap: Callable[[float], float], low: float, high: float) -> float:
    rising = gap(low) < 0
    for _ in range(60):
        middle = (low + high) / 2
        if (gap(middle) < 0) == rising:
            low = middle
        else:
            high = middle
    return (low + high) / 2
