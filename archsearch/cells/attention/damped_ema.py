"""Several damped moving averages of every channel, added up."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from archsearch.cells.linear.gates import full, in_full
from archsearch.kernels.scans.state_space import diagonal_state_space


class DampedEMA(nn.Module):
    """m_t = (1 - p a) m_{t-1} + p b x_t, y_t = g . m_t / sqrt(N) + w x_t, per channel.

    p and a are sigmoids of ``rate`` and ``damping``; ``dims`` = N averages of each channel (Ma et
    al. 2022, arXiv 2209.10655, section 3.2). Inputs (B, T, W), state m (B, W, N).
    """

    no_decay: ClassVar[frozenset[str]] = frozenset({"rate", "damping", "write", "skip"})

    def __init__(self, width: int, dims: int) -> None:
        super().__init__()
        self.dims = dims
        signs = torch.ones(dims)
        signs[1::2] = -1
        self.rate = nn.Parameter(_normal(0.2, width, dims))
        self.damping = nn.Parameter(_normal(0.2, width, dims))
        self.write = nn.Parameter(signs + _normal(0.02, width, dims))
        self.read = nn.Parameter(_normal(1.0, width, dims))
        self.skip = nn.Parameter(_normal(1.0, width))

    def _system(self) -> tuple[Tensor, Tensor, Tensor]:
        """What is kept of a state, what is written to it, how it is read: (W, N) each."""
        p = torch.sigmoid(self.rate)
        kept = 1 - p * torch.sigmoid(self.damping)
        return kept, p * self.write, self.read * self.dims**-0.5

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        found, memory = in_full(_scan, x, *self._system(), state)
        return found + self.skip * x, memory

    def step(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """One position (B, W)."""
        kept, write, read = self._system()
        memory = kept * state + write * full(x)[..., None]
        return (read * memory).sum(-1) + self.skip * x, memory


def _scan(
    x: Tensor, kept: Tensor, write: Tensor, read: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    parts = (torch.complex(part, torch.zeros_like(part)) for part in (kept, write, read, state))
    found, memory = diagonal_state_space(x, *parts)
    return found, memory.real


def _normal(std: float, *shape: int) -> Tensor:
    return nn.init.trunc_normal_(torch.empty(shape), std=std, a=-2 * std, b=2 * std)
