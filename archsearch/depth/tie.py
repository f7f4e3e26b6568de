"""Which weights the loops of one stage have in common.

A tie is ``Tie(body, width, loops, **options)`` with ``forward(x, loop, first)``,
``initial_state(batch)`` and ``step(x_t, state, loop, first)``; ``loop`` counts from zero, ``first``
is what came into the stage, and the state is that of one loop. A loop beyond those that the tie was
made for has what the last of them has.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn


class Tie(nn.Module):
    """Something position by position before and after the body, of which each loop has its own."""

    def __init__(self, body: nn.Module, loops: int) -> None:
        super().__init__()
        self.body, self.loops = body, loops

    @abstractmethod
    def before(self, x: Tensor, loop: int, first: Tensor) -> Tensor:
        """What the body reads in this loop, (.., width)."""

    def after(self, y: Tensor, loop: int) -> Tensor:
        """What the next loop begins with, (.., width)."""
        return y

    def last(self, loop: int) -> int:
        return min(loop, self.loops - 1)

    def forward(self, x: Tensor, loop: int, first: Tensor) -> Tensor:
        loop = self.last(loop)
        return self.after(self.body(self.before(x, loop, first)), loop)

    def initial_state(self, batch: int) -> Any:
        return self.body.initial_state(batch)

    def step(self, x_t: Tensor, state: Any, loop: int, first: Tensor) -> tuple[Tensor, Any]:
        loop = self.last(loop)
        y_t, state = self.body.step(self.before(x_t, loop, first), state)
        return self.after(y_t, loop), state


class Shared(Tie):
    """Every loop has the same weights, up to what little is its own.

    With ``embedding`` a learned vector per loop is added to its input, the step embedding of arXiv
    1807.03819, learned; it is zero at the start, so that the network begins as the plainly shared
    one. With ``norms`` each loop ends in a normalisation with scales of its own, x / rms(x) s.
    """

    no_decay = ("embedding", "scales")

    def __init__(
        self,
        body: nn.Module,
        width: int,
        loops: int,
        embedding: bool = False,
        norms: bool = False,
    ) -> None:
        super().__init__(body, loops)
        self.embedding = nn.Parameter(torch.zeros(loops, width)) if embedding else None
        self.scales = nn.Parameter(torch.ones(loops, width)) if norms else None

    def before(self, x: Tensor, loop: int, first: Tensor) -> Tensor:
        return x if self.embedding is None else x + self.embedding[loop]

    def after(self, y: Tensor, loop: int) -> Tensor:
        if self.scales is None:
            return y
        return torch.nn.functional.rms_norm(y, y.shape[-1:], self.scales[loop], eps=1e-6)


class Projected(Tie):
    """Every loop has the same weights and a small perceptron of its own behind them.

    x to a x + b W_2 gelu(W_1 norm(x)), a and b starting at one and the perceptron as wide as the
    stream: the non-linear projection of Shen et al. 2021, arXiv 2111.05297, equation 5.
    """

    no_decay = ("shares",)

    def __init__(self, body: nn.Module, width: int, loops: int) -> None:
        super().__init__(body, loops)
        self.projections = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.Linear(width, width), nn.GELU(), nn.Linear(width, width)
            )
            for _ in range(loops)
        )
        self.shares = nn.Parameter(torch.ones(loops, 2))

    def before(self, x: Tensor, loop: int, first: Tensor) -> Tensor:
        return x

    def after(self, y: Tensor, loop: int) -> Tensor:
        own, added = self.shares[loop]
        return own * y + added * self.projections[loop](y)


class Injected(Tie):
    """Every loop reads what came into the stage beside what the loop before it left.

    Its input is W [x; first], as in the recurrent depth of Geiping et al. 2025, arXiv 2502.05171,
    section 3.2; W starts as the mean. The first loop reads the stage's input twice, or, with
    ``noise`` above zero, a random state of that deviation, cut at three of it, in place of x: in
    training another at every position of every batch, in use one and the same vector, so that
    equal inputs have equal answers.
    """

    def __init__(self, body: nn.Module, width: int, loops: int, noise: float = 0.0) -> None:
        super().__init__(body, loops)
        self.noise = noise
        self.adapter = nn.Linear(2 * width, width, bias=False)
        with torch.no_grad():
            self.adapter.weight.copy_(0.5 * torch.eye(width).repeat(1, 2))
        start = self._drawn(torch.empty(width)) if noise else None
        self.register_buffer("start", start)

    def before(self, x: Tensor, loop: int, first: Tensor) -> Tensor:
        if self.start is not None and loop == 0:
            x = self._drawn(torch.empty_like(x)) if self.training else self.start.expand_as(x)
        return self.adapter(torch.cat([x, first], -1))

    def _drawn(self, like: Tensor) -> Tensor:
        most = 3 * self.noise
        return nn.init.trunc_normal_(like, std=self.noise, a=-most, b=most)
