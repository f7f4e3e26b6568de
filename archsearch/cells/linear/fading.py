"""The share of a memory that a head keeps, as a function of the input."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from archsearch.cells.linear.gates import full
from archsearch.cells.linear.timescale import before_softplus, log_uniform


class Fading(nn.Module):
    """log alpha_t = -exp(a_log) softplus(w x_t + b) per head: the gate of Mamba-2.

    exp(a_log) starts uniform in (0, 16) and softplus(b) log-uniform in (0.001, 0.1) (Dao, Gu 2024,
    arXiv 2405.21060). Inputs (..., W), outputs (..., H) of single precision at least.
    """

    no_decay = frozenset({"a_log"})

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.rate = nn.Linear(width, heads)
        # a rate of exactly zero has no logarithm
        self.a_log = nn.Parameter((16 * torch.rand(heads)).clamp_min(1e-2).log())
        with torch.no_grad():
            self.rate.bias.copy_(before_softplus(log_uniform((heads,), 1e-3, 0.1).exp()))

    def forward(self, x: Tensor) -> Tensor:
        return -self.a_log.exp() * softplus(full(self.rate(x)))
