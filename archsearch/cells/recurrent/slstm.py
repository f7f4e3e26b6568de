"""The scalar LSTM of xLSTM: exponential gates that a running maximum keeps in range."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from archsearch.cells.cell import Cell, State
from archsearch.cells.recurrent.cut import read_before
from archsearch.cells.recurrent.heads import HeadwiseLinear
from archsearch.kernels.projections.projected import projected
from archsearch.kernels.recurrences.gated import slstm


class SLSTM(Cell):
    """[i, f, z, o] = W x_t + R h_{t-1} + b; c_t = F c_{t-1} + exp(i) tanh(z);
    n_t = F n_{t-1} + exp(i); h_t = s(o) c_t / n_t (Beck et al. 2024, arXiv 2405.04517).

    F is s(f), the logistic function, or exp(f). c and n are kept divided by exp(m_t), with
    m_t = max(log F + m_{t-1}, i), which changes no h; n is not bounded from below, since it is
    at least one from the first step on. R has one block per head. y is h, or its group norm per
    head. R starts at zero, b too but for f: from 5 down to -7 within a head. State: h, c, n, m,
    each (B, W). With ``cut`` the gradient of R h_{t-1} reaches R, but not h_{t-1}.
    """

    state_matrices = frozenset({"recurrent"})

    def __init__(
        self,
        width: int,
        heads: int = 4,
        forget: str = "sigmoid",
        norm: bool = True,
        cut: bool = False,
    ) -> None:
        super().__init__(width)
        self.cut = cut
        self.sigmoid = forget == "sigmoid"
        self.input = nn.Linear(width, 4 * width)
        self.recurrent = HeadwiseLinear(width, 4, heads)
        for matrix in self.input.weight.chunk(4):
            nn.init.xavier_uniform_(matrix)
        nn.init.zeros_(self.input.bias)
        nn.init.zeros_(self.recurrent.weight)
        place = torch.linspace(0, 1, width // heads).repeat(heads)
        with torch.no_grad():
            self.input.bias[width : 2 * width] = 5 - 12 * place**0.3
        self.norm = nn.GroupNorm(heads, width) if norm and width > heads else None

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        state = self.initial_state(len(x)) if state is None else state
        u = self.recurrent
        first = tuple(u.by_head(part) for part in state)
        driven, matrices = projected(self.input, x), u.matrices()
        y, last = slstm(u.by_head(driven), first, matrices, self.sigmoid)
        if self.cut and torch.is_grad_enabled():
            driven = driven + u(read_before(state[0], u.of_heads(y)))
            y, last = slstm(u.by_head(driven), first, torch.zeros_like(matrices), self.sigmoid)
        return self._normed(u.of_heads(y)), tuple(u.of_heads(part) for part in last)

    def initial_state(self, batch: int) -> State:
        none = self.zeros(batch, self.width)
        # nothing is kept at the first step, whatever its gates say
        return none, none, none, torch.full_like(none, -torch.inf)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.forward(x[:, None], state)
        return y[:, 0], state

    def _normed(self, h: Tensor) -> Tensor:
        if self.norm is None:
            return h
        # torch is three times as quick at this as at the same by its group norm
        heads = h.unflatten(-1, (self.norm.num_groups, -1))
        normed = layer_norm(heads, heads.shape[-1:], eps=self.norm.eps).flatten(-2)
        return normed * self.norm.weight + self.norm.bias
