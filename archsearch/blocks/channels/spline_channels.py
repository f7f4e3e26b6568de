"""Channel mixers whose edges are learned functions: Kolmogorov-Arnold layers.

Each input passes through functions with compact support on a grid, and a linear map of all of them
makes the outputs. Inputs are normalised and brought into (0, 1) position by position first, so
that they lie on the grid.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from archsearch.blocks.norms import LayerNorm, RMSNorm

SIDES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "silu": functional.silu,
    "gelu": functional.gelu,
    "relu": functional.relu,
}
COMBINED: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "quad1": lambda a, b: (a * b).square(),
    "quad2": lambda a, b: a * b + a.square() + b.square(),
    "sum": lambda a, b: a + b,
    "prod": lambda a, b: a * b,
    "sum_prod": lambda a, b: a + b + a * b,
    "cubic1": lambda a, b: (a + b) * (a.square() + b.square()),
    "cubic2": lambda a, b: (a * b) ** 3,
}


class ReLUKAN(nn.Module):
    """out(all bumps of all inputs), the bump m of u being [relu(e_m - u) relu(u - s_m) c]^2.

    With ``grid`` g and ``order`` k: s_m = (m - k) / g, e_m = s_m + (k + 1) / g for m < g + k, both
    learned per input, and c = 4 g^2 / (k + 1)^2 so that a bump is at most 1 high (Qiu et al. 2024,
    arXiv 2406.02075). (g + k) width^2 weights.
    """

    no_decay = ("starts", "ends")

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


class AFKAN(nn.Module):
    """out(side(norm(one feature per input))), the features an attention over all their bumps.

    A bump of u is combined(side(u - s_m), side(e_m - u)), with s and e as in ReLUKAN but the same
    for all inputs. All bumps of a position are brought into (0, 1) by their smallest and largest;
    a learned score of an input's bumps, over a learned temperature of at least 1 and through a
    softmax over the inputs, weights them, and their sum is the feature (Ta et al. 2025, arXiv
    2503.06112, global attention; there the smallest and largest are those of the whole batch).
    With ``base``, a linear map of silu(x) is added as in KAN. width^2 weights, twice with it.
    """

    EPSILON = 1e-6

    def __init__(
        self,
        width: int,
        grid: int = 5,
        order: int = 3,
        side: str = "silu",
        combined: str = "quad1",
        base: bool = False,
    ) -> None:
        super().__init__()
        self.side, self.combined = SIDES[side], combined
        self.into, self.norm = RMSNorm(width), LayerNorm(width)
        self.starts = nn.Parameter(torch.arange(-order, grid) / grid)
        self.ends = nn.Parameter(self.starts.detach() + (order + 1) / grid)
        # without a bias, which would be the same for all inputs
        self.score = nn.Parameter(torch.randn(grid + order) / (grid + order) ** 0.5)
        self.temperature = nn.Parameter(torch.tensor(max(width, 2) ** 0.5))
        self.out = nn.Linear(width, width)
        self.base = nn.Linear(width, width) if base else None

    def forward(self, x: Tensor) -> Tensor:
        # features differ little beside their size, so the norm magnifies what rounding left
        wide, size = x.double(), x.shape[-1:]
        scaled = functional.rms_norm(wide, size, self.into.weight.double(), self.into.eps)
        u = torch.sigmoid(scaled).unsqueeze(-1)  # (.., width, 1)
        bumps = COMBINED[self.combined](self.side(u - self.starts), self.side(self.ends - u))
        least, most = bumps.amin((-2, -1), keepdim=True), bumps.amax((-2, -1), keepdim=True)
        bumps = (bumps - least) / (most - least + self.EPSILON)
        scores = (bumps * self.score).sum(-1, keepdim=True) / self.temperature.clamp(min=1.0)
        features = (bumps * scores.softmax(-2)).sum(-1)  # (.., width)
        normed = functional.layer_norm(
            features, size, self.norm.weight.double(), self.norm.bias.double(), self.norm.eps
        )
        y = self.out(self.side(normed.to(x.dtype)))
        return y if self.base is None else y + self.base(functional.silu(x))
