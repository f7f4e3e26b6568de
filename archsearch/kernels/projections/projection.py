"""A linear map of every position, by the library whose products of matrices are the quickest."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import linear

from archsearch.kernels.choose import accelerated


@accelerated(cpu="archsearch.kernels.projections.projection_cpu:projection")
def projection(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x weight' + bias for ``x`` (..., I), ``weight`` (O, I), ``bias`` (O,) or None: (..., O)."""
    return linear(x, weight, bias)
