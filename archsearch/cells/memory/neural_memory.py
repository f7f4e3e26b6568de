"""A memory that is itself a small network, trained by gradient descent as the sequence goes by."""

from __future__ import annotations

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, logsigmoid, normalize, silu, softplus

from archsearch.cells.cell import Cell, State, split_width
from archsearch.cells.linear.short_conv import ShortConv

TAPS = 4  # of the short convolution on queries, keys and values


class Rates(NamedTuple):
    """What each position does to the memory, each (B, H, T); ``size`` shapes the loss."""

    step: Tensor
    log_keep: Tensor
    log_momentum: Tensor | None
    size: Tensor | None


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
        *,
        momentum: bool = False,
        forget: bool = True,
        sized: bool = False,
        retains: bool = False,
    ) -> None:
        super().__init__(width)
        self.heads, self.depth, self.chunk, self.rate = heads, depth, chunk, rate
        self.retains = retains  # otherwise W = A, and no A_t has to be formed
        size = self.size = split_width(width, heads)
        hidden = expand * size
        shapes = [(size, size)] if depth == 1 else [(hidden, size), (size, hidden)]
        self.start = nn.ParameterList(torch.empty(heads, *shape) for shape in shapes)
        self.project = nn.Linear(width, 3 * width, bias=False)
        self.conv = ShortConv(3 * width, TAPS)
        self.norm = nn.RMSNorm(size, eps=1e-5)
        self.output = nn.Linear(width, width, bias=False)
        self.momentum = self._rate(2.0) if momentum else None
        self.keep = self._rate(4.0) if forget else None
        self.learn = self._rate(-2.0)
        self.bound = self._rate(0.0) if sized else None
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

    @abstractmethod
    def error(self, difference: Tensor, size: Tensor | None) -> Tensor:
        """The loss's gradient by M(k), given M(k) - v: (B, H, T, d) both; ``size`` (B, H, T)."""

    def retain(self, matrix: Tensor) -> Tensor:
        """W for A (..., m, n)."""
        return matrix

    # the memory as a network

    def _read(self, weights: list[Tensor], x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """M(W; x) for x (B, H, T, d), and the input of each matrix."""
        if self.depth == 1:
            return x @ weights[0].mT, [x]
        hidden = x @ weights[0].mT
        active = gelu(hidden)
        return x + active @ weights[1].mT, [x, active, hidden]

    def _descend(
        self, weights: list[Tensor], k: Tensor, v: Tensor, size: Tensor | None
    ) -> list[tuple[Tensor, Tensor]]:
        """The gradient of each matrix as two factors, (B, H, T, m) and (B, H, T, n)."""
        got, inputs = self._read(weights, k)
        error = self.error(got - v, size)
        if self.depth == 1:
            return [(error, k)]
        _, active, hidden = inputs
        # steps along an unbounded error of a nonlinear memory may diverge
        error = error / error.norm(dim=-1, keepdim=True).clamp_min(1.0)
        return [((error @ weights[1]) * _gelu_slope(hidden), k), (error, active)]

    # a stretch of positions inside one chunk

    def _stretch(
        self, q: Tensor, k: Tensor, v: Tensor, rates: Rates, now: _Memory
    ) -> tuple[Tensor, _Memory]:
        """Read and write at T positions (B, H, T, d) whose gradients share their anchor."""
        anchor = [
            self.retain(past + now.anchor_share[..., None, None] * start)
            for past, start in zip(now.anchor, self.start, strict=True)
        ]
        factors = self._descend(anchor, k, v, rates.size)
        decay = _decays(rates.log_keep)  # (B, H, T, T)
        left = rates.log_keep.cumsum(-1).exp()  # (B, H, T)
        written = decay * rates.step[..., None, :]
        pushed, swing = rates.step[..., None, :], None
        if rates.log_momentum is not None:
            momenta = _decays(rates.log_momentum)
            swung = rates.log_momentum.cumsum(-1).exp()
            written = (decay @ momenta) * rates.step[..., None, :]
            pushed = momenta[..., -1:, :] * rates.step[..., None, :]
            swing = (decay @ swung[..., None])[..., 0]
        whole = [
            past + now.share[..., None, None] * start
            for past, start in zip(now.past, self.start, strict=True)
        ]

        def through(index: int, x: Tensor) -> Tensor:
            error, key = factors[index]
            if not self.retains:
                y = left[..., None] * (x @ whole[index].mT)
                if swing is not None:
                    y = y + swing[..., None] * (x @ now.speed[index].mT)
                return y - (written * (x @ key.mT)) @ error
            moved = torch.einsum("bhtr,bhrm,bhrn->bhtmn", written, error, key)
            full = left[..., None, None] * whole[index][:, :, None] - moved
            if swing is not None:
                full = full + swing[..., None, None] * now.speed[index][:, :, None]
            return (self.retain(full) @ x[..., None])[..., 0]

        y = through(0, q) if self.depth == 1 else q + through(1, gelu(through(0, q)))
        past, speed = [], []
        for index, (error, key) in enumerate(factors):
            change = (written[..., -1, :, None] * error).mT @ key
            after = left[..., -1, None, None] * now.past[index] - change
            if swing is not None:
                after = after + swing[..., -1, None, None] * now.speed[index]
                push = (pushed[..., 0, :, None] * error).mT @ key
                speed.append(swung[..., -1, None, None] * now.speed[index] - push)
            past.append(after)
        share = left[..., -1] * now.share
        return y, now._replace(past=past, speed=speed, share=share)

    # the cell

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        past, speed, anchor, shares, recent, position = (
            self.initial_state(len(x)) if state is None else state
        )
        now = _Memory(list(past), list(speed), list(anchor), *shares)
        mixed, recent = self.conv(self.project(x), recent)
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in silu(mixed).chunk(3, -1)
        )
        q, k = normalize(q, dim=-1), normalize(k, dim=-1)
        rates, outputs, begin = self._rates(x), [], 0
        while begin < x.shape[1]:
            # without a state the border is known, and nothing has to be read
            left = self.chunk if state is None else self._left_of_chunk(position)
            end = min(begin + left, x.shape[1])
            part = Rates(*(None if rate is None else rate[..., begin:end] for rate in rates))
            y, now = self._stretch(*(t[:, :, begin:end] for t in (q, k, v)), part, now)
            outputs.append(y)
            position, begin = position + (end - begin), end
            now = now.anchored(position % self.chunk == 0)
        read = self.norm(torch.cat(outputs, 2)).transpose(1, 2).flatten(-2)
        shares = (now.share, now.anchor_share)
        memory = (tuple(now.past), tuple(now.speed), tuple(now.anchor), shares)
        return self.output(read), (*memory, recent, position)

    def _left_of_chunk(self, position: Tensor) -> int:
        """Positions up to the next border of a chunk; one at a time if rows disagree."""
        left = self.chunk - position % self.chunk
        return int(left[0]) if bool((left == left[0]).all()) else 1

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


class _Memory(NamedTuple):
    """B, S, and B at the chunk's start, one of each per matrix; p now and at that start."""

    past: list[Tensor]
    speed: list[Tensor]
    anchor: list[Tensor]
    share: Tensor
    anchor_share: Tensor

    def anchored(self, here: Tensor) -> _Memory:
        """The rows (B,) in which a chunk ends take the memory as it is for the next one."""
        rows = here[:, None]
        anchor = [
            torch.where(rows[..., None, None], new, old)
            for new, old in zip(self.past, self.anchor, strict=True)
        ]
        share = torch.where(rows, self.share, self.anchor_share)
        return self._replace(anchor=anchor, anchor_share=share)


def _decays(log_rate: Tensor) -> Tensor:
    """The product of the rates after s up to t, zero for s > t: (..., T) to (..., T, T)."""
    total = log_rate.cumsum(-1)
    difference = total[..., :, None] - total[..., None, :]
    ahead = torch.ones_like(difference, dtype=torch.bool).triu(1)
    return difference.masked_fill(ahead, -torch.inf).exp()


def _gelu_slope(x: Tensor) -> Tensor:
    density = torch.exp(-0.5 * x * x) * (2 * torch.pi) ** -0.5
    return 0.5 * (1 + torch.erf(x * 2**-0.5)) + x * density
