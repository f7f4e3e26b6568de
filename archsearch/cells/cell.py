"""The contract of a sequence mixer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from archsearch.errors import ArchitectureError

State: TypeAlias = tuple[Any, ...]


class Cell(nn.Module, ABC):
    """Mixes a sequence over time: (batch, time, width) in, the same shape out.

    A cell is built as ``SomeCell(width, **options)`` with the options of its declaration, and
    draws its parameters from torch's global generator. It has three methods:

    ``initial_state(batch)`` is the state before the first position: a tuple, nested if need be,
    of tensors whose first dimension is the batch and whose device and floating dtype are the
    parameters'. ``step(x_t, state)`` returns ``(y_t, state)`` for one position, with x_t and y_t
    of shape (batch, width). ``forward(x, state=None)`` returns ``(y, state)`` for a whole
    sequence; without a state it starts from ``initial_state``. It repeats ``step``; a cell that
    knows a faster way overrides it.

    A cell owes this behaviour, which ``archsearch.testing.cells.CellContract`` checks:
    y_t depends on x_0 ... x_t only; ``forward`` equals ``step`` repeated, from any state; a
    sequence cut in two, the state carried over, gives what the whole gives; rows of a batch do
    not see each other; inputs and states are never written to; every parameter matters;
    everything stays finite over long sequences of large inputs.

    A cell whose y_t depends on later inputs too sets ``causal`` to False, here and in its
    declaration. It keeps no state, ``()``; its ``step`` raises ArchitectureError, and it is never
    given steps beyond a sequence's end.

    ``no_decay`` names the parameters, as ``named_parameters`` spells them, that weight decay
    would harm (rates, angles, a norm's scales by head); vectors and whatever is called ``bias``
    need not be listed. ``slower`` maps names, spelled alike, to the share of the learning rate at
    which they learn, in (0, 1]; a constructor sets it. ``state_matrices`` names, or begins the
    names of, the matrices that read the state before; ``role`` is that of all others, ``input`` or
    ``attention``: a sparsity may ask for some of them only.
    """

    no_decay: ClassVar[frozenset[str]] = frozenset()
    state_matrices: ClassVar[frozenset[str]] = frozenset()
    role: ClassVar[str] = "input"
    causal: ClassVar[bool] = True

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.slower: Mapping[str, float] = {}

    def __call__(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """``forward``; raises ArchitectureError for a state of other rows than those of ``x``."""
        if state is None:
            return super().__call__(x)  # type: ignore[no-any-return]
        rows = next((len(part) for part in _parts(state) if len(part) != len(x)), len(x))
        if rows != len(x):
            raise ArchitectureError(f"a state of {rows} rows does not fit a batch of {len(x)}")
        return super().__call__(x, state)  # type: ignore[no-any-return]

    @abstractmethod
    def initial_state(self, batch: int) -> State:
        """The state before the first position of ``batch`` sequences."""

    @abstractmethod
    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Output (B, W) for the input (B, W) of one position, and the state after it."""

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Outputs (B, T, W) for inputs (B, T, W), and the state after the last position."""
        state = self.initial_state(len(x)) if state is None else state
        outputs = []
        for x_t in x.unbind(1):
            y_t, state = self.step(x_t, state)
            outputs.append(y_t)
        return torch.stack(outputs, 1), state

    def zeros(self, *shape: int) -> Tensor:
        """Zeros on the parameters' device and of their dtype."""
        return next(self.parameters()).new_zeros(shape)

    def counters(self, batch: int) -> Tensor:
        """One whole number per row, zero, on the parameters' device."""
        return torch.zeros(batch, dtype=torch.long, device=next(self.parameters()).device)


def _parts(state: State) -> Iterator[Tensor]:
    for part in state:
        if isinstance(part, tuple):
            yield from _parts(part)
        else:
            yield part


def split_width(width: int, heads: int, what: str = "width") -> int:
    """The size of one head; raises ArchitectureError when the heads do not divide ``what``."""
    if width < heads or width % heads:
        fitting = max(
            (count for count in range(1, min(heads, width)) if width % count == 0), default=1
        )
        raise ArchitectureError(
            f"heads {heads} do not divide {what} {width}; take {fitting} heads or another width"
        )
    return width // heads
