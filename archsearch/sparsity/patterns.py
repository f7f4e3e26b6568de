"""What goes together: single weights, blocks, rows or columns of a matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

PATTERNS = ("unstructured", "block", "row", "column")


@dataclass(frozen=True)
class Pattern:
    """Units of a matrix that are kept or gone as a whole.

    A weight of more than two dimensions counts as the matrix (first, all others). A ``row`` is all
    that one output reads, a ``column`` all that one input reaches, a ``block`` is ``size`` by
    ``size``; those at the lower and right edge may be smaller.
    """

    kind: str = "unstructured"
    size: int = 4

    def units(self, shape: torch.Size) -> int:
        """How many units a weight of this shape has."""
        rows, columns = _matrix(shape)
        match self.kind:
            case "row":
                return rows
            case "column":
                return columns
            case "block":
                return math.ceil(rows / self.size) * math.ceil(columns / self.size)
            case _:
                return rows * columns

    def scores(self, score: Tensor) -> Tensor:
        """One score per unit, the root of the sum of the squares of its weights' scores."""
        if self.kind == "unstructured":
            return score.flatten()
        return self.sums(score.square()).sqrt()

    def sums(self, values: Tensor) -> Tensor:
        """The sum over the weights of each unit, (units,)."""
        matrix = values.reshape(_matrix(values.shape))
        match self.kind:
            case "row":
                return matrix.sum(1)
            case "column":
                return matrix.sum(0)
            case "block":
                by_row = _add_up(matrix, self.size)
                return _add_up(by_row.t(), self.size).t().flatten()
            case _:
                return matrix.flatten()

    def mask(self, kept: Tensor, shape: torch.Size) -> Tensor:
        """The mask of a weight of which the units ``kept`` are left; undoes :meth:`alive`."""
        rows, columns = _matrix(shape)
        match self.kind:
            case "row":
                found = kept[:, None].expand(rows, columns)
            case "column":
                found = kept.expand(rows, columns)
            case "block":
                down = math.ceil(rows / self.size)
                wide = kept.view(down, -1).repeat_interleave(self.size, 0)[:rows]
                found = wide.repeat_interleave(self.size, 1)[:, :columns]
            case _:
                found = kept
        return found.reshape(shape).clone()

    def alive(self, mask: Tensor) -> Tensor:
        """Which units of a mask are left, (units,)."""
        return self.scores(mask.double()) > 0

    def count(self, weights: int, shape: torch.Size) -> int:
        """The units that come nearest to so many weights."""
        return round(weights / math.prod(shape) * self.units(shape))


def _matrix(shape: torch.Size) -> tuple[int, int]:
    return shape[0], math.prod(shape[1:])


def _add_up(x: Tensor, size: int) -> Tensor:
    """Sums of ``size`` rows after another, the last of what is left."""
    place = torch.arange(len(x), device=x.device) // size
    return x.new_zeros(math.ceil(len(x) / size), x.shape[1]).index_add_(0, place, x)
