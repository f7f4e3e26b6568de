"""Gated convolution."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.cells.convolution.causal import CausalConv


class GatedConv(Cell):
    """Residual layers of gated causal convolutions: x <- x + (x * W + b) g(x * V + c).

    g is the logistic function for ``glu``, whose linear half lets gradients through unsquashed,
    with tanh on the other half for ``gtu``; ``bilinear`` gates with the plain product (Dauphin,
    Fan, Auli & Grangier 2017, arXiv 1612.08083, sections 2 and 3; the bottleneck is left out).
    Filters start at N(0, 1 / (kernel width)), which keeps the variance of what they read. y_t
    sees the last 1 + layers (kernel - 1) inputs. State: per layer the kernel - 1 inputs before,
    (B, ., W).
    """

    def __init__(
        self,
        width: int,
        kernel: int = 3,
        layers: int = 3,
        gate: str = "glu",
        weight_norm: bool = False,
    ) -> None:
        super().__init__(width)
        self.gate = gate
        std = (kernel * width) ** -0.5
        self.convolutions = nn.ModuleList(
            CausalConv(width, 2 * width, kernel, weight_norm=weight_norm, std=std)
            for _ in range(layers)
        )
        self.reach = 1 + layers * (kernel - 1)

    def _gated(self, both: Tensor) -> Tensor:
        value, gate = both.chunk(2, -1)
        if self.gate == "gtu":
            value = torch.tanh(value)
        return value * (gate if self.gate == "bilinear" else torch.sigmoid(gate))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        pasts = self.initial_state(len(x)) if state is None else state
        kept = []
        for convolution, past in zip(self.convolutions, pasts, strict=True):
            both, past = convolution(x, past)
            kept.append(past)
            x = x + self._gated(both)
        return x, tuple(kept)

    def initial_state(self, batch: int) -> State:
        return tuple(self.zeros(batch, part.past, self.width) for part in self.convolutions)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        kept = []
        for convolution, past in zip(self.convolutions, state, strict=True):
            both, past = convolution.step(x, past)
            kept.append(past)
            x = x + self._gated(both)
        return x, tuple(kept)
