"""What the memory is added to: the head's own weights, or an adapter in front of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

SEED = 0


class Reading(nn.Module):
    """The head of a network in a stream, h + U V h in front of it where ``where`` is "adapter".

    U (width, rank) starts at zero and is what is learned; V (rank, width) has orthonormal rows
    that are drawn once. Its weights are the head's own, not copies.
    """

    down: Tensor

    def __init__(self, head: nn.Module, width: int, rank: int, where: str) -> None:
        super().__init__()
        self.head = head
        self.up: Tensor | None = None
        if where == "adapter":
            like = next(head.parameters(), torch.zeros(()))
            draw = torch.Generator().manual_seed(SEED)
            square = torch.randn(width, width, generator=draw, dtype=torch.float64)
            down = torch.linalg.qr(square)[0][: min(rank, width)]
            self.up = nn.Parameter(like.new_zeros(width, len(down)), requires_grad=False)
            self.register_buffer("down", down.to(like))

    def fast(self) -> Iterator[tuple[str, Tensor]]:
        """The weights that the memory is added to, by name."""
        if self.up is not None:
            yield "up", self.up
            return
        yield from self.head.named_parameters(prefix="head")

    def forward(self, h: Tensor, state: Any) -> tuple[Tensor, Any]:
        """(batch, width) and the head's state to (batch, outputs) and the state after it."""
        if self.up is not None:
            h = h + h @ self.down.mT @ self.up.mT
        step: Callable[[Tensor, Any], tuple[Tensor, Any]] = self.head.step  # type: ignore[assignment]
        return step(h, state)
