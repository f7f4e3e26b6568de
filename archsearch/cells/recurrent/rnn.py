"""The vanilla recurrent network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.cells.recurrent.heads import HeadwiseLinear
from archsearch.kernels.recurrences.vanilla import activated, vanilla


class RNN(Cell):
    """h_t = phi(W x_t + U h_{t-1} + b), y_t = h_t (Elman 1990).

    phi is tanh or relu. U starts orthogonal, as ``scale`` times the identity with a near-zero W
    (with relu the IRNN of arXiv 1504.00941), or uniform within 1/sqrt(width). With several heads
    U is block-diagonal (arXiv 2412.07752). State: h (B, W).
    """

    state_matrices = frozenset({"recurrent"})

    def __init__(
        self,
        width: int,
        activation: str = "tanh",
        init: str = "orthogonal",
        scale: float = 1.0,
        heads: int = 1,
    ) -> None:
        super().__init__(width)
        self.activation = activation
        self.input = nn.Linear(width, width)
        self.recurrent = HeadwiseLinear(width, heads=heads)
        bound = width**-0.5
        nn.init.uniform_(self.input.weight, -bound, bound)
        nn.init.zeros_(self.input.bias)
        for block in self.recurrent.blocks():
            if init == "orthogonal":
                nn.init.orthogonal_(block)
            elif init == "identity":
                nn.init.eye_(block)
            else:
                nn.init.uniform_(block, -bound, bound)
        if init == "identity":
            nn.init.normal_(self.input.weight, std=0.001)
            with torch.no_grad():
                self.recurrent.weight.mul_(scale)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (h,) = self.initial_state(len(x)) if state is None else state
        u = self.recurrent
        driven = u.apart(self.input(x.transpose(0, 1)))  # one product for all positions
        states, h = vanilla(driven, u.apart(h), u.matrix(), None, self.activation)
        return u.together(states), (u.together(h),)

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, self.width),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        h = activated(self.input(x) + self.recurrent(h), self.activation)
        return h, (h,)
