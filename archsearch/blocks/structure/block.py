"""One residual block, made of parts that ``build`` constructs."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from archsearch.blocks.structure.placements import Residual


class Block(nn.Module):
    """A cell with its norm and gate, then the same around a channel mixer where there is one."""

    def __init__(self, cell: Residual, channel: Residual | None) -> None:
        super().__init__()
        self.cell, self.channel = cell, channel

    def forward(self, x: Tensor) -> Tensor:
        """A whole sequence, (batch, time, width) to the same."""
        return self.refine(self.mix(x))

    def initial_state(self, batch: int) -> Any:
        return self.cell.layer.initial_state(batch)

    def step(self, x_t: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One time step, (batch, width) to the same."""
        x_t, state = self.mix_step(x_t, state)
        return self.refine(x_t), state

    def mix(self, x: Tensor) -> Tensor:
        """The first half, which mixes time steps."""
        mixed, _ = self.cell.layer(self.cell.enter(x))
        return self.cell.leave(x, mixed)

    def mix_step(self, x_t: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The first half of one time step."""
        mixed, state = self.cell.layer.step(self.cell.enter(x_t), state)
        return self.cell.leave(x_t, mixed), state

    def refine(self, x: Tensor) -> Tensor:
        """The second half, which mixes the channels of one position; x where there is none."""
        if self.channel is None:
            return x
        return self.channel.leave(x, self.channel.layer(self.channel.enter(x)))
