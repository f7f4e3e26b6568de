"""A gated unit whose recurrence is diagonal, so that a long sequence can be solved at once."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.cells.recurrent.heads import HeadwiseLinear
from archsearch.kernels.scans.newton import newton_scan

# numbers per step and steps for which Newton's method is the faster way
SMALL, LONG = 512, 256


class ParaGRU(Cell):
    """z, r = s(a h_{t-1} + B x_t + b); c = tanh(a_c (r h_{t-1}) + B_c x_t + b_c);
    y_t = h_t = (1 - z) h_{t-1} + z c (Danieli et al. 2025, arXiv 2510.21450).

    All a are vectors: units hear themselves only, and mix through B, which has one block per
    head. ``clip`` bounds every |a|; 0 leaves them free, which counting modulo two needs. a starts
    at N(0, 4 / (5 W)), b at zero but for z: from 0 down to -1. Few rows of long sequences are
    solved by Newton's method, all else step by step. State: h (B, W).
    """

    no_decay = frozenset({"a"})

    def __init__(self, width: int, heads: int = 1, clip: float = 0.0) -> None:
        super().__init__(width)
        self.clip = clip
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
        a, driven = self._recurrent(), self._driven(x)
        if len(x) * self.width <= SMALL and x.shape[1] >= LONG:
            after, slope = partial(advance, driven, a), partial(linearised, driven, a)
            y = newton_scan(after, slope, h, x.shape[1])
            if y is not None:
                return y, (y[:, -1],)
        states = []
        for drive in driven.unbind(1):
            h = advance(drive, a, h)
            states.append(h)
        return torch.stack(states, 1), (h,)

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, self.width),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        h = advance(self._driven(x), self._recurrent(), state[0])
        return h, (h,)

    def _driven(self, x: Tensor) -> Tensor:
        driven: Tensor = self.input(x) + self.bias
        return driven

    def _recurrent(self) -> Tensor:
        return self.a.clamp(-self.clip, self.clip) if self.clip else self.a


def advance(driven: Tensor, a: Tensor, h: Tensor) -> Tensor:
    """The next state, for any number of positions: driven (.., 3 W), a (3, W), h (.., W)."""
    of_z, of_r, of_c = driven.chunk(3, -1)
    z = torch.sigmoid(torch.addcmul(of_z, a[0], h))
    r = torch.sigmoid(torch.addcmul(of_r, a[1], h))
    c = torch.tanh(torch.addcmul(of_c, a[2], r * h))
    return torch.lerp(h, c, z)


def linearised(driven: Tensor, a: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    """The next state and its derivative by the state, element by element."""
    of_z, of_r, of_c = driven.chunk(3, -1)
    z, r = torch.sigmoid(of_z + a[0] * h), torch.sigmoid(of_r + a[1] * h)
    c = torch.tanh(of_c + a[2] * (r * h))
    by_z = (c - h) * z * (1 - z) * a[0]
    by_c = z * (1 - c * c) * a[2] * r * (1 + h * (1 - r) * a[1])
    return torch.lerp(h, c, z), 1 - z + by_z + by_c
