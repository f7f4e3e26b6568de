"""How the keys of memories that overwrite, and their queries, are activated and made of size one.

The memory keeps 1 - beta |k|^2 along a key k, which must not be longer than one.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from archsearch.cells.linear.gates import full
from archsearch.errors import ArchitectureError
from archsearch.kernels.norms.unit_length import unit_length

SMALLEST_SUM = 1e-6


def unit_sum(x: Tensor) -> Tensor:
    """``x`` (..., K), nowhere negative, over its sum, or over 1e-6 where that is smaller.

    A share of each feature: its length is at most one, and is one where a single feature has it
    all (Schlag, Irie, Schmidhuber 2021, arXiv 2102.11174, section 4.2).
    """
    x = full(x)
    return x / x.sum(-1, keepdim=True).clamp_min(SMALLEST_SUM)


def sized(norm: str, activation: str) -> Callable[[Tensor], Tensor]:
    """What queries and keys pass through behind their activation."""
    if norm == "l2":
        return unit_length
    if activation != "relu":
        raise ArchitectureError(
            f"norm sum divides by a sum, which activation {activation} may make zero or negative; "
            "take activation relu or norm l2"
        )
    return unit_sum
