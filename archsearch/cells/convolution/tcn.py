"""Temporal convolutional network."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d

from archsearch.cells.cell import Cell, State


class TCN(Cell):
    """Residual blocks of two causal convolutions: x <- relu(x + relu(F_2 relu(F_1 x))).

    Block l spaces its ``kernel`` taps dilation^l apart, so that y_t sees the last
    1 + 2 (kernel - 1) sum_l dilation^l inputs (Bai, Kolter & Koltun 2018, arXiv 1803.01271).
    State: for each convolution the (kernel - 1) dilation^l inputs before, (B, ., W).
    """

    def __init__(
        self,
        width: int,
        kernel: int = 3,
        layers: int = 3,
        dilation: int = 2,
        weight_norm: bool = False,
    ) -> None:
        super().__init__(width)
        self.convolutions = nn.ModuleList(
            _Convolution(width, kernel, dilation**layer, weight_norm)
            for layer in range(layers)
            for _ in range(2)
        )
        self.reach = 1 + sum(part.past for part in self.convolutions)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        pasts = self.initial_state(len(x)) if state is None else state
        kept = []
        for index in range(0, len(pasts), 2):
            inner, first = self.convolutions[index](x, pasts[index])
            inner, second = self.convolutions[index + 1](inner.relu(), pasts[index + 1])
            x = (x + inner.relu()).relu()
            kept += [first, second]
        return x, tuple(kept)

    def initial_state(self, batch: int) -> State:
        return tuple(self.zeros(batch, part.past, self.width) for part in self.convolutions)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        kept = []
        for index in range(0, len(state), 2):
            inner, first = self.convolutions[index].step(x, state[index])
            inner, second = self.convolutions[index + 1].step(inner.relu(), state[index + 1])
            x = (x + inner.relu()).relu()
            kept += [first, second]
        return x, tuple(kept)


class _Convolution(nn.Module):
    """One causal dilated convolution; with weight norm a filter is gain times its direction."""

    def __init__(self, width: int, kernel: int, dilation: int, weight_norm: bool) -> None:
        super().__init__()
        self.dilation, self.past = dilation, (kernel - 1) * dilation
        self.weight = nn.Parameter(torch.empty(width, width, kernel).normal_(std=0.01))
        self.bias = nn.Parameter(torch.zeros(width))
        lengths = self.weight.detach().norm(dim=(1, 2), keepdim=True)
        self.gain = nn.Parameter(lengths) if weight_norm else None

    def _filter(self) -> Tensor:
        if self.gain is None:
            return self.weight
        return self.gain * self.weight / self.weight.norm(dim=(1, 2), keepdim=True)

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        x = torch.cat([past, x], 1)  # the past on the left, so that no output sees its future
        y = conv1d(x.transpose(1, 2), self._filter(), self.bias, dilation=self.dilation)
        return y.transpose(1, 2), x[:, x.shape[1] - self.past :]

    def step(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        seen = torch.cat([past, x[:, None]], 1)
        taps = seen[:, :: self.dilation]  # (B, kernel, W)
        return torch.einsum("bki,oik->bo", taps, self._filter()) + self.bias, seen[:, 1:]
