"""Temporal convolutional network."""

from __future__ import annotations

from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.cells.convolution.causal import CausalConv
from archsearch.cells.convolution.dropout import channel_mask


class TCN(Cell):
    """Residual blocks of two causal convolutions: x <- relu(x + relu(F_2 relu(F_1 x))).

    Block l spaces its ``kernel`` taps dilation^l apart, so that y_t sees the last
    1 + 2 (kernel - 1) sum_l dilation^l inputs (Bai, Kolter & Koltun 2018, arXiv 1803.01271). A
    ``forward`` in training drops whole channels after each F and its relu, for all positions of a
    sequence alike, with probability ``dropout``, and scales the others by 1 / (1 - dropout).
    State: for each convolution the (kernel - 1) dilation^l inputs before, (B, ., W).
    """

    def __init__(
        self,
        width: int,
        kernel: int = 3,
        layers: int = 3,
        dilation: int = 2,
        weight_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(width)
        self.dropout = dropout
        self.convolutions = nn.ModuleList(
            CausalConv(width, width, kernel, dilation=dilation**layer, weight_norm=weight_norm)
            for layer in range(layers)
            for _ in range(2)
        )
        self.reach = 1 + sum(part.past for part in self.convolutions)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        pasts = self.initial_state(len(x)) if state is None else state
        kept = []
        for index in range(0, len(pasts), 2):
            inner, first = self.convolutions[index](x, pasts[index], rectified=True)
            inner, second = self.convolutions[index + 1](
                self._dropped(inner), pasts[index + 1], rectified=True
            )
            inner = self._dropped(inner)
            x = (x + inner).relu_()
            kept += [first, second]
        return x, tuple(kept)

    def _dropped(self, x: Tensor) -> Tensor:
        drops = self.training and self.dropout > 0
        return x * channel_mask(x, self.dropout) if drops else x

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
