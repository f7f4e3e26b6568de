"""Networks whose learning can be written out: a linear recurrence, and a linear head alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from archsearch.build import Model
from archsearch.spec.signature import Signature


class Same(nn.Module):
    """Hands on what it gets: an embedding, a norm, or a head."""

    def forward(self, h: Tensor, lengths: Tensor | None = None) -> Tensor:
        return h

    def initial_state(self, batch: int) -> tuple[Tensor, ...]:
        return ()

    def step(self, h_t: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return h_t, state


class Recurrence(nn.Module):
    """h_t = decay h_{t-1} + x_t."""

    def __init__(self, width: int, decay: float) -> None:
        super().__init__()
        self.width, self.decay = width, decay

    def initial_state(self, batch: int) -> tuple[Tensor, ...]:
        return (torch.zeros(batch, self.width, dtype=torch.float64),)

    def step(self, x_t: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        h = self.decay * state[0] + x_t
        return h, (h,)


class Linear(Same):
    """A linear head."""

    def __init__(self, width: int, outputs: int, *, bias: bool) -> None:
        super().__init__()
        self.project = nn.Linear(width, outputs, bias=bias, dtype=torch.float64)

    def step(self, h_t: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.project(h_t), state


def values(channels: int, outputs: int) -> Signature:
    return Signature("values", channels, "value", outputs, every_step=True, length=8)


def recurrence(decay: float, width: int = 1) -> tuple[Model, Signature]:
    return Model(Same(), [Recurrence(width, decay)], Same(), Same()), values(width, width)


def linear(width: int, outputs: int, *, bias: bool = True) -> tuple[Model, Signature]:
    """No memory at all: what the head reads is the input itself."""
    torch.manual_seed(0)
    model = Model(Same(), [Recurrence(width, 0.0)], Same(), Linear(width, outputs, bias=bias))
    return model, values(width, outputs)
