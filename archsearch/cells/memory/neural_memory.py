"""A memory that is itself a small network, trained by gradient descent as the sequence goes by."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, softplus

from archsearch.cells.cell import Cell, State, split_width
from archsearch.cells.linear.short_conv import ShortConv
from archsearch.kernels.memories.descent.descent_memory import Memory, Rates, descent_memory
from archsearch.kernels.memories.descent.descent_rule import Rule
from archsearch.kernels.norms.gated_norm import gated_norm
from archsearch.kernels.norms.unit_length import unit_length
from archsearch.kernels.projections.projected import projected

TAPS = 4  # of the short convolution on queries, keys and values


class NeuralMemory(Cell):
    """Per head: S_t = eta_t S_{t-1} - theta_t grad(W; k_t, v_t), A_t = alpha_t A_{t-1} + S_t,
    W_t = retain(A_t), y_t = M(W_t; q_t).

    M is linear, W k, or with ``depth`` 2 a residual network, k + W_2 gelu(W_1 k). All gradients
    of a chunk are taken at the memory that its first position found, so that the chunk is one
    batch of products (Behrouz, Zhong & Mirrokni 2024, arXiv 2501.00663, sections 3.1 and 3.2);
    the chunk is part of the model. The rates theta of a chunk sum to at most ``rate``, without
    which a chunk of like keys would overshoot. q, k and v pass through a short convolution and a
    silu, q and k have length one. A_0 is learned; A_t = B_t + p_t A_0 with B_0 = 0 and p_0 = 1.

    State: B and S of each matrix and B of the chunk's start, (B, H, m, n) each; p now and at the
    chunk's start, (B, H); the convolution's (B, 3, .); each row's position (B,).
    """

    def __init__(
        self,
        width: int,
        heads: int,
        depth: int,
        expand: int,
        chunk: int,
        rate: float,
        rule: Rule,
        *,
        momentum: bool = False,
        forget: bool = True,
    ) -> None:
        super().__init__(width)
        self.heads, self.depth, self.chunk, self.rate = heads, depth, chunk, rate
        self.rule = rule
        size = split_width(width, heads)
        hidden = expand * size
        shapes = [(size, size)] if depth == 1 else [(hidden, size), (size, hidden)]
        self.start = nn.ParameterList(torch.empty(heads, *shape) for shape in shapes)
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.conv = ShortConv(3 * width, TAPS, activated=True)
        self.norm = nn.RMSNorm(size, eps=1e-5)
        self.output = nn.Linear(width, width, bias=False)
        self.momentum = self._rate(2.0) if momentum else None
        self.keep = self._rate(4.0) if forget else None
        self.learn = self._rate(-2.0)
        self.bound = self._rate(0.0) if rule.outliers else None
        for matrix in self.start:
            nn.init.normal_(matrix, std=0.1 * matrix.shape[-1] ** -0.5)
        for weight in self.project.weight.chunk(3):
            nn.init.xavier_uniform_(weight)
        nn.init.xavier_uniform_(self.output.weight)

    def _rate(self, bias: float) -> nn.Linear:
        linear = nn.Linear(self.width, self.heads)
        nn.init.normal_(linear.weight, std=0.02)
        nn.init.constant_(linear.bias, bias)
        return linear

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        begun = self.initial_state(len(x)) if state is None else state
        return self.remember(x, begun, state is None)

    def remember(self, x: Tensor, state: State, aligned: bool) -> tuple[Tensor, State]:
        """As forward, where all rows are known to begin a chunk if ``aligned``."""
        past, speed, anchor, shares, recent, position = state
        mixed, recent = self.conv(projected(self.project, x), recent)
        both, v = mixed.unflatten(-1, (3, self.heads, -1)).split([2, 1], 2)
        q, k, v = (part.transpose(1, 2) for part in (*unit_length(both).unbind(2), v[:, :, 0]))
        given = Memory(past, speed, anchor, *shares), tuple(self.start)
        met = None if aligned else position
        read, left = descent_memory(q, k, v, self._rates(x), *given, met, self.chunk, self.rule)
        y = projected(self.output, gated_norm(read.transpose(1, 2), self.norm.weight, None))
        shares = (left.share, left.anchor_share)
        memory = (left.now, left.speed, left.anchor, shares)
        return y, (*memory, recent, position + x.shape[1])

    def _rates(self, x: Tensor) -> Rates:
        def of(linear: nn.Linear) -> Tensor:
            return linear(x).transpose(1, 2)  # (B, H, T)

        step = torch.sigmoid(of(self.learn)) * (self.rate / self.chunk)
        return Rates(
            step,
            torch.zeros_like(step) if self.keep is None else logsigmoid(of(self.keep)),
            None if self.momentum is None else logsigmoid(of(self.momentum)),
            None if self.bound is None else softplus(of(self.bound)),
        )

    def initial_state(self, batch: int) -> State:
        empty = tuple(self.zeros(batch, *matrix.shape) for matrix in self.start)
        ones = self.zeros(batch, self.heads) + 1
        recent = self.zeros(batch, TAPS - 1, 3 * self.width)
        speed = () if self.momentum is None else empty
        return empty, speed, empty, (ones, ones), recent, self.counters(batch)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, state = self.forward(x[:, None], state)
        return y[:, 0], state
