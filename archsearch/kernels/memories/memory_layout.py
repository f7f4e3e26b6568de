"""How the arrays of matrix memories lie for the compiled loops."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from archsearch.kernels.compiled import compiled
from archsearch.kernels.trained import arrays


@compiled
def fill(x: np.ndarray, filled: np.ndarray) -> None:
    """Copy rows (n, K) into longer ones and put zeros behind."""
    rows, size = x.shape
    for row in range(rows):
        for i in range(size):
            filled[row, i] = x[row, i]
        for i in range(size, filled.shape[1]):
            filled[row, i] = 0


def laid(x: Tensor, multiple: int) -> Tensor:
    """``x`` (B, T, H, K) as it lies where positions are equally far apart, else filled up."""
    rows, steps, heads, size = x.shape
    batch, apart, head, one = x.stride()
    alike = one == 1 and (heads == 1 or head == size) and (rows == 1 or batch == steps * apart)
    fits = alike and size % multiple == 0 and apart >= heads * size
    return x if fits else filled(x, multiple)


def filled(x: Tensor, multiple: int) -> Tensor:
    """Without gaps in memory, the last dimension up to a multiple of a number with zeros."""
    x, size = x.contiguous(), x.shape[-1]
    if size % multiple == 0:
        return x
    longer = x.new_empty(*x.shape[:-1], size + -size % multiple)
    fill(*arrays(x.view(-1, size), longer.view(-1, longer.shape[-1])))
    return longer


def grid(memory: Tensor, rows: int, columns: int) -> Tensor:
    """A copy of ``memory`` (B, H, K, V) with zeros behind its rows and columns."""
    batch, heads, keys, values = memory.shape
    if (keys, values) == (rows, columns):
        return memory.clone(memory_format=torch.contiguous_format)
    whole = memory.new_zeros(batch, heads, rows, columns)
    whole[:, :, :keys, :values] = memory
    return whole


def apart(x: Tensor) -> tuple[int, int]:
    """How far heads and positions of ``x`` (B, T, H, K) lie apart, heads none if all share one."""
    # of one position torch does not say how far it is from the next
    return int(x.shape[2] > 1) * x.shape[3], int(x.stride(int(x.shape[1] > 1)))
