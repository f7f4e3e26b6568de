"""Gated convolution."""

from __future__ import annotations

from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, silu

from archsearch.cells.cell import Cell, State
from archsearch.cells.convolution.causal import CausalConv


class GatedConv(Cell):
    """Residual layers of gated causal convolutions: x <- x + (x * W + b) g(x * V + c).

    g is the logistic function for ``glu``, whose linear half lets gradients through unsquashed,
    with tanh on the other half for ``gtu``; ``bilinear`` gates with the plain product (Dauphin,
    Fan, Auli & Grangier 2017, arXiv 1612.08083, sections 2 and 3), ``reglu`` with relu and
    ``swish`` with g(a) = a s(a) (Shazeer 2020, arXiv 2002.05202). With a ``bottleneck`` above one a
    layer is three gated convolutions, x <- x + G_3(G_2(G_1(x))), of 1, ``kernel`` and 1 taps, the
    first two W / bottleneck wide, rounded down. Filters start at N(0, 1 / (taps inputs)), which
    keeps the variance of what they read. y_t sees the last 1 + layers (kernel - 1) inputs. State:
    per layer the kernel - 1 inputs before of the convolution with ``kernel`` taps, (B, ., W), or
    (B, ., W / bottleneck).
    """

    def __init__(
        self,
        width: int,
        kernel: int = 3,
        layers: int = 3,
        gate: str = "glu",
        weight_norm: bool = False,
        bottleneck: int = 1,
    ) -> None:
        super().__init__(width)
        self.gate, self.inner = gate, max(width // bottleneck, 1)
        # inputs, outputs and taps of what a layer is made of
        narrow = (width, self.inner, 1), (self.inner, self.inner, kernel), (self.inner, width, 1)
        parts = narrow if bottleneck > 1 else ((width, width, kernel),)
        self.parts = len(parts)
        self.convolutions = nn.ModuleList(
            CausalConv(
                inputs, 2 * outputs, taps, weight_norm=weight_norm, std=(taps * inputs) ** -0.5
            )
            for _ in range(layers)
            for inputs, outputs, taps in parts
        )
        self.reach = 1 + layers * (kernel - 1)

    def _gated(self, both: Tensor) -> Tensor:
        value, gate = both.chunk(2, -1)
        match self.gate:
            case "bilinear":
                return value * gate
            case "reglu":
                return value * relu(gate)
            case "swish":
                return value * silu(gate)
            case "gtu":
                value = torch.tanh(value)
        return value * torch.sigmoid(gate)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        return self._through(x, self.initial_state(len(x)) if state is None else state)

    def _through(self, x: Tensor, state: State, one: bool = False) -> tuple[Tensor, State]:
        """All layers, over a sequence or ``one`` position."""
        parts, kept = iter(self.convolutions), []
        for past in state:
            inner = x
            for part in islice(parts, self.parts):
                seen = past if part.past else x.new_zeros(len(x), 0, inner.shape[-1])
                both, after = part.step(inner, seen) if one else part(inner, seen)
                inner = self._gated(both)
                if part.past:
                    kept.append(after)
            x = x + inner
        return x, tuple(kept)

    def initial_state(self, batch: int) -> State:
        inputs = self.width if self.parts == 1 else self.inner
        return tuple(
            self.zeros(batch, part.past, inputs) for part in self.convolutions if part.past
        )

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        return self._through(x, state, one=True)
