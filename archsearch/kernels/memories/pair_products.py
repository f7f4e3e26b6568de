"""Products of all pairs of features: their inner product is the second order of exp(x . y)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from archsearch.kernels.choose import accelerated


@accelerated(cpu="archsearch.kernels.memories.pair_products_cpu:pair_products")
def pair_products(x: Tensor) -> Tensor:
    """All x_i x_j with i <= j and x_0 = 1, for ``x`` (..., N): (..., (N + 1) (N + 2) / 2).

    Pairs i < j stand once, with the weight of both; products of matrices of zeros and ones pick
    them, which costs less than to gather.
    """
    x = pad(x, (1, 0), value=1.0)
    size = x.shape[-1]
    left, right = torch.triu_indices(size, size, device=x.device)
    units = torch.eye(size, dtype=x.dtype, device=x.device)
    itself = (left == right) & (left > 0)
    weights = torch.where(itself, x.new_full((), 0.5**0.5), x.new_ones(()))
    return (x @ units[:, left]) * (x @ (units[:, right] * weights))
