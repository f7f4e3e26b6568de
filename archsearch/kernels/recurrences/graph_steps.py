"""Steps of a small graph of operations, repeated over time, from the states of the step before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import relu

from archsearch.kernels.choose import accelerated
from archsearch.kernels.one_type import mix

LARGEST = 1e4


def positive(x: Tensor) -> Tensor:
    """x + 1/2 above zero, s(x) below, s the logistic function."""
    return relu(x) + torch.sigmoid(-relu(-x))


def clip(x: Tensor) -> Tensor:
    """x within +-1e4, so that no product of two overflows."""
    return x.clamp(-LARGEST, LARGEST)


def clipped_multiply(a: Tensor, b: Tensor) -> Tensor:
    return clip(a) * clip(b)


def clipped_mix(gate: Tensor, one: Tensor, other: Tensor) -> Tensor:
    return mix(clip(gate), clip(one), clip(other))


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "add": torch.add,
    "subtract": torch.sub,
    "multiply": torch.mul,
    "max": torch.maximum,
    "min": torch.minimum,
    "mix": mix,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "positive": positive,
    "sin": torch.sin,
    "clip": clip,
    "clipped_multiply": clipped_multiply,
    "clipped_mix": clipped_mix,
}


@dataclass(frozen=True)
class Product:
    """To ``count`` slots from ``out`` on, each a sum already, is added what ``reads`` say: a slot
    and the first of ``count`` matrices that it is multiplied by.
    """

    out: int
    count: int
    reads: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Apply:
    """The slot ``out`` becomes a function of other slots, one of ``FUNCTIONS`` by its name."""

    function: str
    out: int
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """One step: the slots where the old states stand and the new ones, and what happens between.

    The first slots are given for every step. The first state is the output.
    """

    slots: int
    leaves: tuple[int, ...]
    roots: tuple[int, ...]
    actions: tuple[Product | Apply, ...]


@accelerated(
    cpu="archsearch.kernels.recurrences.graph_cpu:graph_steps",
    cuda="archsearch.kernels.recurrences.graph_triton:graph_steps",
)
def graph_steps(
    streams: Tensor, states: Tensor, matrices: Tensor, program: Program
) -> tuple[Tensor, Tensor]:
    """The outputs (B, T, W) and the last states (n, B, W).

    ``streams`` (T, B, K W) are the given slots side by side, ``states`` (n, B, W) the first ones,
    and ``matrices`` (P, W, W) multiply a row from the right.
    """
    width = states.shape[-1]
    count = streams.shape[-1] // width
    wide = {
        (first, action.count): matrices[first : first + action.count].transpose(0, 1).flatten(1)
        for action in program.actions
        if isinstance(action, Product)
        for _, first in action.reads
    }
    given = {
        slot: streams[..., slot * width : (slot + 1) * width].unbind(0)
        for slot in _read(program, count)
    }
    sums = {
        action: streams[..., action.out * width : (action.out + action.count) * width].unbind(0)
        for action in program.actions
        if isinstance(action, Product)
    }
    outputs, current = [], list(states.unbind(0))
    values = [current[0]] * program.slots
    for t in range(len(streams)):
        for slot, parts in given.items():
            values[slot] = parts[t]
        for leaf, state in zip(program.leaves, current, strict=True):
            values[leaf] = state
        for action in program.actions:
            if isinstance(action, Apply):
                read = [values[slot] for slot in action.inputs]
                values[action.out] = FUNCTIONS[action.function](*read)
                continue
            total = sums[action][t]
            for slot, first in action.reads:
                total = torch.addmm(total, values[slot], wide[first, action.count])
            parts = total.chunk(action.count, -1) if action.count > 1 else (total,)
            values[action.out : action.out + action.count] = parts
        current = [values[root] for root in program.roots]
        outputs.append(current[0])
    return torch.stack(outputs, 1), torch.stack(current)


def _read(program: Program, count: int) -> set[int]:
    """Which of the first ``count`` slots are more than the beginning of a sum."""
    summed = {
        action.out + at
        for action in program.actions
        if isinstance(action, Product)
        for at in range(action.count)
    }
    return set(range(count)) - summed
