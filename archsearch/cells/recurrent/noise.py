"""What a training leaves out of a recurrence at random: of what it reads, and of its moves."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from archsearch.kernels.recurrences.graph_steps import Apply, Product, Program, graph_steps


def spared(like: Tensor, share: float) -> Tensor:
    """Zero with probability ``share``, else 1 / (1 - share), of the shape of ``like``.

    A row of it is the one mask of a row's sequence (variational dropout: Gal & Ghahramani 2016,
    arXiv 1512.05287), so that what is left has the expectation of the whole.
    """
    return _drawn(like, like.shape, 1 - share) / (1 - share)


def spared_inputs(x: Tensor, share: float) -> Tensor:
    """x (B, T, W) with the same features of a row left out at all of its positions."""
    return x * spared(x[:, 0], share)[:, None] if share else x


def zones(like: Tensor, steps: int, share: float, training: bool) -> Tensor:
    """How much of the state before stays, (T, *like): zoneout (Krueger et al. 2016, arXiv
    1606.01305). In training one with probability ``share``, else zero, drawn for every step and
    unit; otherwise the share itself, which is the expectation.
    """
    if training:
        return _drawn(like, (steps, *like.shape), share)
    return like.new_full((), share).expand(steps, *like.shape)


def _drawn(like: Tensor, shape: tuple[int, ...], share: float) -> Tensor:
    # by the CPU's generator, whose state a checkpoint holds
    return (torch.rand(shape) < share).to(like.device, like.dtype)


def noisy_steps(
    streams: Tensor,
    states: Tensor,
    matrices: Tensor,
    program: Program,
    dropout: float,
    zoneout: tuple[float, ...],
    training: bool,
) -> tuple[Tensor, Tensor]:
    """Outputs (B, T, H, S) and last states (n, H, B, S) of a program under noise, head by head.

    ``streams`` (H, T, B, K S), ``states`` (n, H, B, S) and ``matrices`` (H, P, S, S) are those of
    the program. In training every matrix reads m s for a slot s, with one mask m of ``dropout`` for
    each row; the state i moves to d s_{t-1} + (1 - d) s'_t with ``zoneout[i]``, s' what the program
    makes of it and d as in :func:`zones`. The program itself goes on with s'.
    """
    count, size = len(states), states.shape[-1]
    zoned = tuple(at for at, share in enumerate(zoneout) if share)
    kept = [zones(states[at], streams.shape[1], zoneout[at], training) for at in zoned]
    noisy = noisy_program(program, streams.shape[-1] // size, zoned, training and dropout > 0)
    streams = torch.cat([streams, *(part.transpose(0, 1) for part in kept)], -1)
    if len(noisy.leaves) > count:
        states = torch.cat([states, spared(states[0], dropout)[None]])
    heads = zip(streams, states.unbind(1), matrices, strict=True)
    found = [graph_steps(*parts, noisy) for parts in heads]
    y, last = zip(*found, strict=True)
    return torch.stack(y, 2), torch.stack(last, 1)[:count]


@lru_cache(maxsize=256)
def noisy_program(program: Program, given: int, zoned: tuple[int, ...], masked: bool) -> Program:
    """The same steps, with a given slot more for each state of ``zoned``: how much of it stays.

    With ``masked`` a last state, which never changes, multiplies whatever a matrix reads.
    """
    slots = program.slots + len(zoned)
    leaves = [_behind(slot, given, len(zoned)) for slot in program.leaves]
    roots = [_behind(slot, given, len(zoned)) for slot in program.roots]
    mask = slots
    if masked:
        slots += 1
        leaves, roots = [*leaves, mask], [*roots, mask]
    actions: list[Product | Apply] = []
    heard: dict[int, int] = {}
    for action in program.actions:
        if isinstance(action, Apply):
            inputs = tuple(_behind(slot, given, len(zoned)) for slot in action.inputs)
            actions.append(Apply(action.function, _behind(action.out, given, len(zoned)), inputs))
            continue
        reads = []
        for before, first in action.reads:
            slot = _behind(before, given, len(zoned))
            if masked and slot not in heard:
                heard[slot], slots = slots, slots + 1
                actions.append(Apply("multiply", heard[slot], (slot, mask)))
            reads.append((heard.get(slot, slot), first))
        actions.append(Product(action.out, action.count, tuple(reads)))
    for stream, state in enumerate(zoned, given):
        actions.append(Apply("mix", slots, (stream, leaves[state], roots[state])))
        roots[state], slots = slots, slots + 1
    return Program(slots, tuple(leaves), tuple(roots), tuple(actions))


def _behind(slot: int, given: int, more: int) -> int:
    """The place of a slot once ``more`` are given."""
    return slot if slot < given else slot + more
