"""A channel mixer whose weights are made at every position, by a network that looks at it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from archsearch.blocks.activations.activations import open_activation
from archsearch.blocks.channels.channels import hidden_units


def on_circles(z: Tensor) -> Tensor:
    """Each number as a point of the unit circle, (.., n) to (.., 2 n): cos and sin of z pi / 2.

    Whatever the numbers are, the result is sqrt(n) long (Ortiz, Guttag & Dalca 2023, arXiv
    2304.07645).
    """
    turned = z * (torch.pi / 2)
    return torch.cat([turned.cos(), turned.sin()], -1)


class HyperMLP(nn.Module):
    """A perceptron whose first map is W + g(E(z)), z = sigmoid(C x) and E the points on circles.

    g is linear and W weights of its own, so that neither has the scale of z (magnitude invariant
    parametrisation, arXiv 2304.07645). ``target`` says what g makes: ``rows`` a factor per row of W
    (Ha et al. 2016, arXiv 1609.09106), ``low_rank`` the diagonal d of A d B with a
    learned A and B of ``rank``, ``full`` a whole matrix, for 2 code expand width^2 weights more.
    ``options`` are those of the activation.
    """

    def __init__(
        self,
        width: int,
        expand: float = 2.0,
        code: int = 4,
        target: Literal["rows", "low_rank", "full"] = "rows",
        rank: int = 4,
        activation: str = "gelu",
        **options: float | str,
    ) -> None:
        super().__init__()
        hidden = hidden_units(width, expand)
        self.target = target
        self.code = nn.Linear(width, code)
        self.into, self.out = nn.Linear(width, hidden), nn.Linear(hidden, width)
        if target == "low_rank":
            self.down = nn.Linear(width, rank, bias=False)
            self.up = nn.Linear(rank, hidden, bias=False)
        made = {"rows": hidden, "low_rank": rank, "full": hidden * width}[target]
        self.change = nn.Linear(2 * code, made, bias=False)
        # a start near W; a row of a full matrix adds up over the inputs
        terms = code * (width if target == "full" else 1)
        nn.init.normal_(self.change.weight, std=0.1 / terms**0.5)
        self.activation = open_activation(activation, hidden, **options)

    def forward(self, x: Tensor) -> Tensor:
        encoded = on_circles(torch.sigmoid(self.code(x)))  # (.., 2 code)
        match self.target:
            case "rows":
                scaled = nn.functional.linear(x, self.into.weight)
                change = self.change(encoded) * scaled
            case "low_rank":
                change = self.up(self.change(encoded) * self.down(x))
            case "full":
                change = self._full(x, encoded)
        y: Tensor = self.out(self.activation(self.into(x) + change))
        return y

    def _full(self, x: Tensor, encoded: Tensor) -> Tensor:
        """g(E(z)) x without the matrix of every position: E weighs what its columns make of x."""
        codes, width = encoded.shape[-1], x.shape[-1]
        columns = self.change.weight.view(-1, width, codes).movedim(-1, 0).flatten(0, 1)
        parts = nn.functional.linear(x, columns).unflatten(-1, (codes, -1))  # (.., 2 code, hidden)
        return (encoded.unsqueeze(-1) * parts).sum(-2)
