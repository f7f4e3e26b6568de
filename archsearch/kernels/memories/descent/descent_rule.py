"""What a memory that learns descends along, and how it keeps what it has learned."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

SHARPNESS = 10.0  # of the smooth sign, tanh(SHARPNESS e)


class Rule(NamedTuple):
    """The loss of M(k) - v and the retention of A, as two functions that torch differentiates.

    ``p`` is the exponent of the loss sum |M(k) - v|^p / p, whose gradient is cut to length one if
    p > 2, where it grows faster than the error. ``outliers``: errors longer than a bound of their
    own move the memory by their signs alone. ``q`` > 2: W = A / |A|_q^(q - 2), a norm below one
    taken as one. ``spread``: every row of W is the softmax of A's.
    """

    p: int = 2
    outliers: bool = False
    q: int = 2
    spread: bool = False

    @property
    def retains(self) -> bool:
        """Whether W is other than A, so that every A_t has to be formed."""
        return self.spread or self.q > 2

    def error(self, difference: Tensor, bound: Tensor | None) -> Tensor:
        """The loss's gradient by M(k), given M(k) - v: (..., T, d) both; ``bound`` (..., T)."""
        if self.outliers:
            assert bound is not None
            limit = bound[..., None]
            outlier = difference.norm(dim=-1, keepdim=True) > limit
            signs = limit * torch.tanh(SHARPNESS * difference)
            return torch.where(outlier, signs, difference)
        if self.p == 2:
            return difference
        return cut(difference.sign() * difference.abs() ** (self.p - 1))

    def retain(self, matrix: Tensor) -> Tensor:
        """W for A (..., m, n)."""
        if self.spread:
            return matrix.softmax(-1)
        if self.q == 2:
            return matrix
        power = (matrix**self.q).sum((-2, -1), keepdim=True)
        return matrix / power.clamp_min(1.0) ** ((self.q - 2) / self.q)


def cut(error: Tensor) -> Tensor:
    """``error`` (..., d), cut to length one where it is longer."""
    return error / error.norm(dim=-1, keepdim=True).clamp_min(1.0)
