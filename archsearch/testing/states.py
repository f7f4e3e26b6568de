"""A cell's state, a nested tuple of tensors, seen as a list or one row at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from archsearch.cells.cell import State


def flatten(state: State) -> Iterator[Tensor]:
    """Every tensor of a state, from left to right."""
    for part in state:
        if isinstance(part, tuple):
            yield from flatten(part)
        else:
            yield part


def rebuild(state: State, change: Callable[[Tensor], Tensor]) -> State:
    """The same nesting with every tensor changed."""
    return tuple(
        rebuild(part, change) if isinstance(part, tuple) else change(part) for part in state
    )


def pick(state: State, row: int) -> State:
    """The state of one row, as a batch of one."""
    return rebuild(state, lambda part: part[row : row + 1])
