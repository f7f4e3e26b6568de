"""The gated attention unit (GAU)."""

from __future__ import annotations

import torch
from torch import Tensor

from archsearch.cells.attention.gated_unit import GatedUnit
from archsearch.cells.cell import Cell, State


class GAU(Cell):
    """y = W_o (u A v) with u, v = silu(W_u x), silu(W_v x) and one head of weights A.

    q and k are one projection z = silu(W_z x), scaled and shifted per feature. A is
    relu(q'k / n + b)^2 with n keys in sight, laplace(q'k / n + b), or softmax(q'k / sqrt(Z) + b);
    b is learned per distance and comes after the division, as in MEGA (Hua et al. 2022, arXiv
    2202.10447, section 3; Laplace: Ma et al. 2022, arXiv 2209.10655, section 3.3). Scales of q and
    k start near one rather than near zero, which starts faster. State: keys (B, S, Z) and values
    (B, S, V) seen so far, of a window its last window - 1.
    """

    role = "attention"

    def __init__(
        self,
        width: int,
        expand: float = 2.0,
        query_size: int = 32,
        normaliser: str = "relu2",
        pattern: str = "full",
        window: int = 16,
        bias: bool = True,
    ) -> None:
        super().__init__(width)
        seen = window if pattern == "window" else None
        self.unit = GatedUnit(width, expand, query_size, normaliser, seen, bias)

    def _keep(self, part: Tensor) -> Tensor:
        window = self.unit.window
        return part if window is None else part[:, max(part.shape[1] - (window - 1), 0) :]

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        if state is None and self.unit.squares_all:
            y, k, v = self.unit.from_the_start(x)
            return y, (k, v)
        old_k, old_v = self.initial_state(len(x)) if state is None else state
        u, q, k, v = self.unit.split(x)
        k, v = torch.cat([old_k, k], 1), torch.cat([old_v, v], 1)
        return self.unit.answer(u, self.unit.attend(q, k, v)), (self._keep(k), self._keep(v))

    def initial_state(self, batch: int) -> State:
        return self.zeros(batch, 0, self.unit.size), self.zeros(batch, 0, self.unit.values)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.forward(x[:, None], state)
        return y[:, 0], state
