"""A diagonal memory per channel whose rates, inputs and read-outs follow from the input (S6)."""

from __future__ import annotations

import torch
from torch import Tensor

from archsearch.kernels.choose import accelerated
from archsearch.kernels.scans.linear_scan import linear_scan


@accelerated(
    cpu="archsearch.kernels.scans.selective.selective_cpu:selective_scan",
    cuda="archsearch.kernels.scans.selective.selective_triton:selective_scan",
)
def selective_scan(
    delta: Tensor,
    u: Tensor,
    write: Tensor,
    read: Tensor,
    rate: Tensor,
    memory: Tensor,
    negative: bool = False,
) -> tuple[Tensor, Tensor]:
    """y_t = h_t read_t of h_t = exp(-delta_t rate) h_{t-1} + (delta_t u_t) write_t', per channel.

    Where ``negative`` the factor is 2 exp(-delta_t rate) - 1 (Grazzi et al. 2024, arXiv
    2411.12537). ``delta`` and ``u`` are (B, T, E), ``write`` and ``read`` (B, T, N), ``rate``
    (E, N), ``memory`` (B, E, N). Returns (B, T, E) and the memory that is left (Gu, Dao 2023, arXiv
    2312.00752, algorithm 2).
    """
    factor = torch.exp(-delta[..., None] * rate)
    factor = 2 * factor - 1 if negative else factor
    states = linear_scan(factor, (delta * u)[..., None] * write[..., None, :], memory)
    return (states @ read.to(states.dtype)[..., None])[..., 0], states[:, -1]
