"""From what a task delivers to the width of the network."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from archsearch.blocks.ends.positions import sinusoids
from archsearch.spec.signature import Signature

State: TypeAlias = tuple[Tensor, ...]


class LinearEmbed(nn.Module):
    """Values (batch, time, channels) by a linear map, tokens (batch, time) by a table of vectors.

    With sinusoidal positions the state of a stream is the position of its next step.
    """

    def __init__(
        self,
        signature: Signature,
        width: int,
        positions: Literal["none", "sinusoidal"] = "none",
    ) -> None:
        super().__init__()
        self.width, self.positions = width, positions
        tokens = signature.inputs == "tokens"
        self.project = (nn.Embedding if tokens else nn.Linear)(signature.channels, width)

    def forward(self, x: Tensor) -> Tensor:
        """The embedded sequence, (batch, time, width)."""
        embedded = self.project(x)
        if self.positions == "none":
            return embedded
        return self._placed(embedded, torch.arange(x.shape[1], device=x.device))

    def initial_state(self, batch: int) -> State:
        if self.positions == "none":
            return ()
        return (torch.zeros(batch, dtype=torch.int64, device=self.project.weight.device),)

    def step(self, x_t: Tensor, state: State) -> tuple[Tensor, State]:
        """One time step, (batch, channels) or (batch,), to (batch, width)."""
        embedded = self.project(x_t)
        if self.positions == "none":
            return embedded, state
        (position,) = state
        return self._placed(embedded, position), (position + 1,)

    def _placed(self, embedded: Tensor, positions: Tensor) -> Tensor:
        return embedded + sinusoids(positions, self.width).to(embedded.dtype)
