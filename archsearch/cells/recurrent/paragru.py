"""A gated unit whose recurrence is diagonal, so that units are worked on side by side."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.cells.recurrent.heads import HeadwiseLinear
from archsearch.cells.recurrent.newton import newton_steps
from archsearch.kernels.recurrences.diagonal import advance_gru, diagonal_gru, linearised_gru


class ParaGRU(Cell):
    """z, r = s(a h_{t-1} + B x_t + b); c = tanh(a_c (r h_{t-1}) + B_c x_t + b_c);
    y_t = h_t = (1 - z) h_{t-1} + z c (Danieli et al. 2025, arXiv 2510.21450).

    All a are vectors: units hear themselves only, and mix through B, which has one block per
    head. ``clip`` bounds every |a|; 0 leaves them free, which counting modulo two needs. a starts
    at N(0, 4 / (5 W)), b at zero but for z: from 0 down to -1. State: h (B, W).

    With ``solve`` "newton" a training has the states of :func:`newton_steps`, of which only the
    first ``iterations`` are exact, where the others are within ``tolerance`` of what follows from
    the states before them; else, and in evaluation, they follow from each other step by step.
    """

    no_decay = frozenset({"a"})

    def __init__(
        self,
        width: int,
        heads: int = 1,
        clip: float = 0.0,
        solve: str = "sequential",
        iterations: int = 3,
        damping: float = 1.0,
        tolerance: float = 1e-3,
    ) -> None:
        super().__init__(width)
        self.clip, self.solve = clip, solve
        self.newton = iterations, damping, tolerance
        self.input = HeadwiseLinear(width, 3, heads)
        for gate in range(3):
            for block in self.input.blocks(gate):
                nn.init.xavier_uniform_(block)
        self.bias = nn.Parameter(torch.zeros(3 * width))
        with torch.no_grad():
            self.bias[:width] = torch.linspace(0, -1, width)
        self.a = nn.Parameter(torch.empty(3, width).normal_(std=(0.8 / width) ** 0.5))

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (h,) = self.initial_state(len(x)) if state is None else state
        drives, a = self.input(x), self._recurrent()
        # whether the states are near enough is no question for a compiled graph
        if self.solve == "newton" and self.training and not torch.compiler.is_compiling():
            driven = drives + self.bias
            forms = partial(advance_gru, driven, a), partial(linearised_gru, driven, a)
            found = newton_steps(*forms, h, *self.newton)
            if found is not None:
                return found, (found[:, -1],)
        y = diagonal_gru(drives, self.bias, a, h)
        return y, (y[:, -1],)

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, self.width),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h = advance_gru(self.input(x) + self.bias, self._recurrent(), state[0])
        return h, (h,)

    def _recurrent(self) -> Tensor:
        return self.a.clamp(-self.clip, self.clip) if self.clip else self.a
