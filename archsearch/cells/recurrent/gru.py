"""Gated recurrent unit."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.cells.cell import Cell, State
from archsearch.cells.recurrent.cut import checked, read_before
from archsearch.cells.recurrent.heads import HeadwiseLinear
from archsearch.cells.recurrent.noise import noisy_steps, spared_inputs
from archsearch.kernels.projections.projected import projected
from archsearch.kernels.recurrences.graph_steps import Apply, Product, Program, graph_steps
from archsearch.kernels.recurrences.recurrence import gru
from archsearch.kernels.scans.linear_scan import linear_scan

# slots: what r, z and n are given, h, then what is made of them
RESET_BEFORE = Program(
    slots=9,
    leaves=(3,),
    roots=(8,),
    actions=(
        Product(0, 2, ((3, 0),)),
        Apply("sigmoid", 4, (0,)),
        Apply("sigmoid", 5, (1,)),
        Apply("multiply", 6, (4, 3)),
        Product(2, 1, ((6, 2),)),
        Apply("tanh", 7, (2,)),
        Apply("mix", 8, (5, 3, 7)),
    ),
)

# slots: what r, z, b' and n are given, h, then what is made of them
RESET_AFTER = Program(
    slots=11,
    leaves=(4,),
    roots=(10,),
    actions=(
        Product(0, 2, ((4, 0),)),
        Product(2, 1, ((4, 2),)),
        Apply("sigmoid", 5, (0,)),
        Apply("sigmoid", 6, (1,)),
        Apply("multiply", 7, (5, 2)),
        Apply("add", 8, (3, 7)),
        Apply("tanh", 9, (8,)),
        Apply("mix", 10, (6, 4, 9)),
    ),
)


class GRU(Cell):
    """r, z = s(W x_t + U h_{t-1} + b); n = the candidate; y_t = h_t = (1 - z) n + z h_{t-1}.

    Reset before the matrix (Cho et al. 2014): n = tanh(W_n x_t + U_n (r h_{t-1}) + b_n). Reset
    after it, as cuDNN and torch do: n = tanh(W_n x_t + b_n + r (U_n h_{t-1} + b')).
    U starts orthogonal per gate, b at zero but for the update gate z. With several heads every
    U is block-diagonal (arXiv 2412.07752). State: h (B, W).

    ``input_dropout``, ``recurrent_dropout``, ``zoneout`` and ``cut`` are those of
    :class:`archsearch.cells.recurrent.rnn.RNN`; before the matrix, U_n reads m r h_{t-1}.
    """

    state_matrices = frozenset({"recurrent"})

    def __init__(
        self,
        width: int,
        reset: str = "after",
        update_bias: float = 1.0,
        heads: int = 1,
        input_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        cut: bool = False,
    ) -> None:
        super().__init__(width)
        self.cut = checked(cut, recurrent_dropout, zoneout)
        self.input_dropout, self.recurrent_dropout = input_dropout, recurrent_dropout
        self.zoneout = zoneout
        self.input = nn.Linear(width, 3 * width)
        self.recurrent = HeadwiseLinear(width, gates=3, heads=heads)
        for gate in range(3):
            nn.init.xavier_uniform_(self.input.weight[gate * width : (gate + 1) * width])
            for block in self.recurrent.blocks(gate):
                nn.init.orthogonal_(block)
        nn.init.zeros_(self.input.bias)
        nn.init.constant_(self.input.bias[width : 2 * width], update_bias)
        self.candidate_bias = nn.Parameter(torch.zeros(width)) if reset == "after" else None

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        (h,) = self.initial_state(len(x)) if state is None else state
        if self.training:
            x = spared_inputs(x, self.input_dropout)
        y, after = self._whole(x, h)
        if not self.cut or not torch.is_grad_enabled():
            return y, after
        z, n = self._gates(x, read_before(h, y))
        y = linear_scan(z, (1 - z) * n, h)
        return y, (y[:, -1],)

    def _whole(self, x: Tensor, h: Tensor) -> tuple[Tensor, State]:
        if self.zoneout or (self.training and self.recurrent_dropout):
            return self._noisy(x, h)
        if self.candidate_bias is None:
            return self._reset_before(x, h)
        u = self.recurrent
        of_input, bias = u.of_head(self.input.weight), u.of_head(self.input.bias)
        inner, h = u.of_head(self.candidate_bias), u.by_head(h)
        heads = zip(h, of_input, u.of_head(u.weight), bias, inner, strict=True)
        y = torch.stack([gru(x, *parts) for parts in heads], -2).flatten(-2)
        return y, (y[:, -1],)

    def _reset_before(self, x: Tensor, h: Tensor) -> tuple[Tensor, State]:
        u = self.recurrent
        driven = u.by_head(projected(self.input, x.transpose(0, 1)))  # (heads, T, B, 3 size)
        matrices = u.of_head(u.weight).unflatten(1, (3, -1)).mT
        heads = zip(driven, u.by_head(h), matrices, strict=True)
        found = [graph_steps(each, h[None], m, RESET_BEFORE)[0] for each, h, m in heads]
        y = torch.stack(found, -2).flatten(-2)
        return y, (y[:, -1],)

    def _noisy(self, x: Tensor, h: Tensor) -> tuple[Tensor, State]:
        driven, program = projected(self.input, x.transpose(0, 1)), RESET_BEFORE
        if self.candidate_bias is not None:
            gates, candidate = driven.split([2 * self.width, self.width], -1)
            inner = self.candidate_bias.expand_as(candidate)
            driven, program = torch.cat([gates, inner, candidate], -1), RESET_AFTER
        u = self.recurrent
        noise = self.recurrent_dropout, (self.zoneout,), self.training
        matrices = u.of_head(u.weight).unflatten(1, (3, -1)).mT
        y, (h,) = noisy_steps(u.by_head(driven), u.by_head(h)[None], matrices, program, *noise)
        return y.flatten(-2), (u.of_heads(h),)

    def initial_state(self, batch: int) -> State:
        return (self.zeros(batch, self.width),)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        (h,) = state
        z, n = self._gates(x, h.detach() if self.cut else h)
        new = (1 - z) * n + z * h
        h = self.zoneout * h + (1 - self.zoneout) * new if self.zoneout else new
        return h, (h,)

    def _gates(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """z and n of any number of positions from their inputs and the states before them."""
        r, z, n = self.input(x).chunk(3, -1)
        of_r, of_z, of_n = self.recurrent(h).chunk(3, -1)
        r, z = torch.sigmoid(r + of_r), torch.sigmoid(z + of_z)
        if self.candidate_bias is None:
            of_n = self.recurrent(r * h).chunk(3, -1)[2]
            n = torch.tanh(n + of_n)
        else:
            n = torch.tanh(n + r * (of_n + self.candidate_bias))
        return z, n
