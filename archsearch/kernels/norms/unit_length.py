"""Vectors scaled to length one, as the keys of memories that overwrite need them."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import normalize

from archsearch.kernels.choose import accelerated

SHORTEST = 1e-6


@accelerated(cpu="archsearch.kernels.norms.unit_length_cpu:unit_length")
def unit_length(x: Tensor) -> Tensor:
    """``x`` (..., S) over its length, or over 1e-6 where it is shorter."""
    return normalize(x, dim=-1, eps=SHORTEST)
