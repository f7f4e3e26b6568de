"""Products with a matrix of small blocks along its diagonal."""

from __future__ import annotations

import torch
from torch import Tensor

from archsearch.kernels.choose import accelerated


@accelerated(cpu="archsearch.kernels.recurrences.block_product_cpu:block_product")
def block_product(x: Tensor, blocks: Tensor) -> Tensor:
    """``x`` (..., E) times the transposed block diagonal matrix of ``blocks`` (E / n, n, n)."""
    groups = x.unflatten(-1, (len(blocks), -1))
    return (blocks * groups[..., None, :]).sum(-1).flatten(-2)


def diagonals(blocks: Tensor) -> Tensor:
    """Blocks (m, n, n) as (n, m n): row d holds the elements (i, (i + d) modulo n) of each."""
    size = blocks.shape[-1]
    at = torch.arange(size, device=blocks.device)
    return blocks[:, at, (at + at[:, None]) % size].transpose(0, 1).flatten(1)
