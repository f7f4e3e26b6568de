"""One residual block, and a stack of them; made of parts that ``build`` constructs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn


class Residual(nn.Module):
    """One layer around the stream: its norm before it, its gate after it."""

    def __init__(self, norm: nn.Module, layer: nn.Module, gate: nn.Module) -> None:
        super().__init__()
        self.norm, self.layer, self.gate = norm, layer, gate


class Block(nn.Module):
    """x to gate(x, cell(norm(x))), then the same around a channel mixer where there is one."""

    def __init__(self, cell: Residual, channel: Residual | None) -> None:
        super().__init__()
        self.cell, self.channel = cell, channel

    def forward(self, x: Tensor) -> Tensor:
        """A whole sequence, (batch, time, width) to the same."""
        mixed, _ = self.cell.layer(self.cell.norm(x))
        return self._through_channel(self.cell.gate(x, mixed))

    def initial_state(self, batch: int) -> Any:
        return self.cell.layer.initial_state(batch)

    def step(self, x_t: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One time step, (batch, width) to the same."""
        mixed, state = self.cell.layer.step(self.cell.norm(x_t), state)
        return self._through_channel(self.cell.gate(x_t, mixed)), state

    def _through_channel(self, x: Tensor) -> Tensor:
        if self.channel is None:
            return x
        return self.channel.gate(x, self.channel.layer(self.channel.norm(x)))


class Stack(nn.Module):
    """Blocks one after another; the state is the tuple of theirs."""

    def __init__(self, blocks: Sequence[Block]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x

    def initial_state(self, batch: int) -> tuple[Any, ...]:
        return tuple(block.initial_state(batch) for block in self.blocks)

    def step(self, x_t: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        after = []
        for block, before in zip(self.blocks, state, strict=True):
            x_t, now = block.step(x_t, before)
            after.append(now)
        return x_t, tuple(after)
