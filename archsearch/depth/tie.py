"""Which weights the loops of one stage have in common.

A tie is ``Tie(body, width, loops, **options)`` with ``forward(x, loop)``, ``initial_state(batch)``
and ``step(x_t, state, loop)``; ``loop`` counts from zero and the state is that of one loop.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Shared(nn.Module):
    """Every loop has the same weights, up to a learned vector per loop added to its input.

    That vector (with ``embedding``) is the step embedding of arXiv 1807.03819, learned; it is zero
    at the start, so that the network begins as the plainly shared one.
    """

    no_decay = ("embedding",)

    def __init__(self, body: nn.Module, width: int, loops: int, embedding: bool = False) -> None:
        super().__init__()
        self.body = body
        self.embedding = nn.Parameter(torch.zeros(loops, width)) if embedding else None

    def forward(self, x: Tensor, loop: int) -> Tensor:
        return self.body(self._marked(x, loop))

    def initial_state(self, batch: int) -> Any:
        return self.body.initial_state(batch)

    def step(self, x_t: Tensor, state: Any, loop: int) -> tuple[Tensor, Any]:
        return self.body.step(self._marked(x_t, loop), state)

    def _marked(self, x: Tensor, loop: int) -> Tensor:
        return x if self.embedding is None else x + self.embedding[loop]
