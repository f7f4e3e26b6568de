"""A recurrent matrix in blocks: every head of the state hears itself only."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from archsearch.cells.cell import split_width
from archsearch.kernels.projections.projection import projection


class HeadwiseLinear(nn.Linear):
    """U_g h for every gate g, each U_g block-diagonal with one block per head.

    (.., W) to (.., gates W), gate after gate. The weight is (gates W, W / heads); the rows of one
    head read that head's part of h (FlashRNN, Poeppel et al. 2024, arXiv 2412.07752). With one
    head it is a plain matrix. Raises ArchitectureError when the heads do not divide the width.

    A recurrence is spared the reshaping: :mod:`archsearch.kernels.recurrences.vanilla` takes drives
    and a state ``apart`` and ``matrix()``, and its states are taken back ``together``;
    :mod:`archsearch.kernels.recurrences.gated` takes all steps ``by_head``, and ``matrices()``.
    """

    def __init__(self, width: int, gates: int = 1, heads: int = 1) -> None:
        super().__init__(split_width(width, heads), gates * width, bias=False)
        self.width, self.gates, self.heads = width, gates, heads
        self.size = self.in_features

    def blocks(self, gate: int = 0) -> Iterator[Tensor]:
        """The square blocks of one gate, to be filled."""
        rows = slice(gate * self.width, (gate + 1) * self.width)
        yield from self.weight[rows].chunk(self.heads)

    def forward(self, h: Tensor) -> Tensor:
        if self.heads == 1:
            return projection(h, self.weight, None)
        parts = torch.unflatten(h, -1, (self.heads, -1))
        weight = self.weight.view(self.gates, self.heads, -1, self.in_features)
        return torch.einsum("...hi,ghoi->...gho", parts, weight).flatten(-3)

    def whole(self) -> Tensor:
        """The weight (gates W, size) that a state is multiplied by in the end."""
        return self.weight

    def matrix(self) -> Tensor:
        """What a state ``apart`` is multiplied by: (W, gates W), or (heads, size, gates size)."""
        if self.heads == 1:
            return self.whole().t()
        weight = self.weight.view(self.gates, self.heads, -1, self.size)
        return weight.permute(1, 3, 0, 2).flatten(-2)

    def matrices(self) -> Tensor:
        """The same for any number of heads, (heads, size, gates size)."""
        return self.matrix().view(self.heads, self.size, -1)

    def apart(self, x: Tensor) -> Tensor:
        """(.., B, n W) to (.., heads, B, n size) for any number n of gates; one head is left."""
        if self.heads == 1:
            return x
        parts = torch.unflatten(x, -1, (-1, self.heads, self.size))
        return parts.movedim(-2, -4).flatten(-2)

    def together(self, x: Tensor) -> Tensor:
        """(heads, .., size) to (.., W)."""
        return x if self.heads == 1 else x.movedim(0, -2).flatten(-2)

    def by_head(self, x: Tensor) -> Tensor:
        """(B, .., n W) to (heads, B, .., n size), for any number n of gates."""
        parts = torch.unflatten(x, -1, (-1, self.heads, self.size))
        return parts.movedim(-2, 0).flatten(-2)

    def of_heads(self, x: Tensor) -> Tensor:
        """(heads, B, .., size) to (B, .., W)."""
        return x.movedim(0, -2).flatten(-2)

    def of_head(self, weight: Tensor) -> Tensor:
        """The rows of a weight or bias (n W, ..) by head, (heads, n size, ..)."""
        parts = torch.unflatten(weight, 0, (-1, self.heads, self.size))
        return parts.transpose(0, 1).flatten(1, 2)
