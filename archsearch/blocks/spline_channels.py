"""Channel mixers whose edges are learned functions: Kolmogorov-Arnold layers.

Each input passes through functions with compact support on a grid, and a linear map of all of them
makes the outputs. Inputs are normalised and brought into (0, 1) position by position first, so
that they lie on the grid.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from archsearch.blocks.norms import RMSNorm


class ReLUKAN(nn.Module):
    """out(all bumps of all inputs), the bump m of u being [relu(e_m - u) relu(u - s_m) c]^2.

    With ``grid`` g and ``order`` k: s_m = (m - k) / g, e_m = s_m + (k + 1) / g for m < g + k, both
    learned per input, and c = 4 g^2 / (k + 1)^2 so that a bump is at most 1 high (Qiu et al. 2024,
    arXiv 2406.02075). (g + k) width^2 weights.
    """

    def __init__(self, width: int, grid: int = 5, order: int = 3) -> None:
        super().__init__()
        self.norm = RMSNorm(width)
        starts = torch.arange(-order, grid) / grid
        self.starts = nn.Parameter(starts.repeat(width, 1))
        self.ends = nn.Parameter(starts.repeat(width, 1) + (order + 1) / grid)
        self.height = 4 * grid**2 / (order + 1) ** 2
        self.out = nn.Linear(width * (grid + order), width)

    def forward(self, x: Tensor) -> Tensor:
        u = torch.sigmoid(self.norm(x)).unsqueeze(-1)  # (.., width, 1)
        bumps = functional.relu(self.ends - u) * functional.relu(u - self.starts) * self.height
        return self.out(bumps.square().flatten(-2))


class KAN(nn.Module):
    """base(silu(x)) + out(all B-splines of all inputs) (Liu et al. 2024, arXiv 2404.19756).

    Splines of degree ``order`` on an even grid of ``grid`` intervals over (0, 1) that stays as it
    is. (g + k + 1) width^2 weights.
    """

    knots: Tensor

    def __init__(self, width: int, grid: int = 5, order: int = 3) -> None:
        super().__init__()
        self.order = order
        self.norm = RMSNorm(width)
        self.register_buffer("knots", torch.arange(-order, grid + order + 1) / grid)
        self.base = nn.Linear(width, width)
        self.out = nn.Linear(width * (grid + order), width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        u = torch.sigmoid(self.norm(x)).unsqueeze(-1)  # (.., width, 1)
        splines = bsplines(u, self.knots, self.order).flatten(-2)
        return self.base(functional.silu(x)) + self.out(splines)


def bsplines(u: Tensor, knots: Tensor, order: int) -> Tensor:
    """The B-splines of degree ``order`` on ``knots`` at ``u``, by Cox and de Boor's recursion.

    ``u`` is (.., 1) and ``knots`` (n,); returns (.., n - order - 1). They sum to one wherever
    order + 1 of them overlap.
    """
    found = ((u >= knots[:-1]) & (u < knots[1:])).to(u.dtype)
    for degree in range(1, order + 1):
        low, high = knots[: -degree - 1], knots[degree + 1 :]
        rising = (u - low) / (knots[degree:-1] - low) * found[..., :-1]
        falling = (high - u) / (high - knots[1:-degree]) * found[..., 1:]
        found = rising + falling
    return found
