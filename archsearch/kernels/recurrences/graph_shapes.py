"""Whether tensors are what a program of a graph of operations reads."""

from __future__ import annotations

from functools import lru_cache

from torch import Tensor

from archsearch.kernels.recurrences.graph_steps import Product, Program
from archsearch.kernels.trained import fit


def fits(streams: Tensor, states: Tensor, matrices: Tensor, program: Program) -> bool:
    """Whether there are as many streams, states and matrices as ``program`` names."""
    given, multiplied = needed(program)
    if not fit("tbg sbw mww", streams, states, matrices):
        return False
    slots, more = divmod(streams.shape[2], states.shape[2])
    read = given <= slots <= program.slots and multiplied <= len(matrices)
    return not more and read and len(program.leaves) == len(states) == len(program.roots)


@lru_cache(maxsize=256)
def needed(program: Program) -> tuple[int, int]:
    """How many slots have to be given, and how many matrices there must be."""
    written, given, matrices = set(program.leaves), 0, 0
    for action in program.actions:
        if isinstance(action, Product):
            out = range(action.out, action.out + action.count)
            read = [*out, *(slot for slot, _ in action.reads)]
            matrices = max(matrices, *(first + action.count for _, first in action.reads))
        else:
            out, read = range(action.out, action.out + 1), [*action.inputs]
        given = max(given, *(slot + 1 for slot in read if slot not in written), 0)
        written.update(out)
    return given, matrices
