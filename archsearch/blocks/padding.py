"""What parts that set positions against each other must know of a batch, in training.

Sequences differ in length, so a batch has padding. Causal parts need not know: what is beyond an
end changes nothing before it. But who of a sequence is chosen, how evenly choices fall and which
codes follow the inputs would depend on it, and be another thing with every batch. Such parts may
also be called for some of the positions at a time; what each call adds to the loss then counts for
its share of them. A class that asks says so with ``compares = True``; what torch compiles or
exports is told nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Positions:
    """``real``, (batch, time) bool, is false at padding; None where there is none.

    ``portion`` is the share that these positions have in all that pass here.
    """

    real: Tensor | None = None
    portion: float = 1.0


ALL = Positions()
_NOW: ContextVar[Positions] = ContextVar("positions", default=ALL)


def positions() -> Positions:
    """What is known at this place of the network."""
    return ALL if torch.compiler.is_compiling() else _NOW.get()


@contextmanager
def among(known: Positions) -> Iterator[None]:
    """Inside, ``known`` is what :func:`positions` gives."""
    token = _NOW.set(known)
    try:
        yield
    finally:
        _NOW.reset(token)


def some_positions(real: Tensor | None, portion: float) -> AbstractContextManager[None]:
    """Inside are this portion of the positions, and padding where ``real`` is false."""
    if torch.compiler.is_compiling():
        return nullcontext()
    return among(Positions(real, portion * positions().portion))


def real_positions(x: Tensor) -> Tensor | None:
    """Where x (batch, time, ..) is no padding, (batch, time) bool; None if that is everywhere."""
    real = positions().real
    return real if real is not None and real.shape == x.shape[:2] else None
