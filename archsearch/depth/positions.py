"""How far a network can be applied: block by block, and loop by loop where loops are fixed.

A block of a stage that is a plain chain is a position; so is each loop of a looped stage whose
number of loops is the same for all. What holds together otherwise is one position as a whole: a
stage with other connections, and one whose positions decide themselves how often they loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from archsearch.blocks.gates import StochasticDepth
from archsearch.blocks.structure.block import Block
from archsearch.blocks.structure.checkpointed import RecomputedSegments, recomputed
from archsearch.blocks.structure.connections import Chain
from archsearch.blocks.structure.reversible import Reversible
from archsearch.depth.loops import FixedDepth, SupervisedDepth
from archsearch.depth.varied import VariedDepth

# in use they apply their tie a number of times that is the same for all
FIXED = (FixedDepth, SupervisedDepth, VariedDepth)


@dataclass(frozen=True)
class Prefix:
    """A network that was applied up to somewhere: the stream there, (batch, time, width), and how
    many layers it took at each position of the sequence, (batch, time)."""

    h: Tensor
    layers: Tensor


def body_of(stage: nn.Module) -> nn.Module:
    """What a stage applies, once or several times."""
    body: nn.Module = getattr(getattr(stage, "tie", None), "body", stage)
    return body


def layers_of(stage: nn.Module) -> int:
    """The blocks that a stage applies in each of its loops."""
    return max(1, sum(isinstance(part, Block) for part in body_of(stage).modules()))


def loops_of(stage: nn.Module) -> int:
    return int(getattr(stage, "loops", 1))


def is_looped(stage: nn.Module) -> bool:
    """Whether each of its loops is a position."""
    return type(stage) in FIXED and loops_of(stage) > 1


def chained(stage: nn.Module) -> tuple[Block, ...] | None:
    """The blocks of a plain chain that is applied once, each a position; None for other stages."""
    body = body_of(stage)
    if type(stage) not in FIXED or loops_of(stage) > 1:
        return None
    return tuple(body.blocks) if type(body) in (Chain, RecomputedSegments) else None


def passes(stage: nn.Module, x: Tensor) -> Iterator[Tensor] | None:
    """The stream after each position of a stage; None for one that holds together."""
    if is_looped(stage):
        return stage.passes(x)  # type: ignore[no-any-return, operator]
    blocks = chained(stage)
    return None if blocks is None else _through(blocks, x, body_of(stage))


def removable(stages: Iterable[nn.Module]) -> list[tuple[nn.Module, ...]]:
    """For each block of a network, front to back, the modules without which it would be left out.

    Each gives as its output what goes on of the stream, its first input: the block itself, with its
    copies for the loops of a stage, or its gates where a reversible stage applies it in halves.
    None are told of a block whose own gate leaves it out in training.
    """
    found = []
    for stage in stages:
        body = body_of(stage)
        bodies = getattr(getattr(stage, "tie", None), "bodies", (body,))
        copies = ([part for part in each.modules() if isinstance(part, Block)] for each in bodies)
        for same in zip(*copies, strict=True):
            parts = (_removable(block, isinstance(body, Reversible)) for block in same)
            found.append(tuple(part for some in parts for part in some))
    return found


def _removable(block: Block, halved: bool) -> tuple[nn.Module, ...]:
    gates = [half.gate for half in (block.cell, block.channel) if half is not None]
    if any(isinstance(gate, StochasticDepth) for gate in gates):
        return ()
    return tuple(gates) if halved else (block,)


def prefixes(stages: Sequence[nn.Module], h: Tensor) -> list[Prefix]:
    """Nothing applied, then up to each position; the last is the whole of the network.

    Before the last come the whole but for the later loops of the last looped stage, where other
    stages follow that: so a network that was told fewer loops would answer.
    """
    free = h.new_zeros(h.shape[:2])
    found, fewer = [Prefix(h, free)], []
    last = max((place for place, stage in enumerate(stages) if is_looped(stage)), default=None)
    for place, stage in enumerate(stages):
        inside = _advanced(stage, found[-1])
        found += inside
        if place == last and stages[place + 1 :]:
            fewer = [_rest(stages[place + 1 :], prefix) for prefix in inside[:-1]]
    return [*found[:-1], *fewer, found[-1]]


def _advanced(stage: nn.Module, before: Prefix) -> list[Prefix]:
    """After each position of a stage."""
    each, streams = layers_of(stage), passes(stage, before.h)
    if streams is None:
        h, spent = stage(before.h)
        return [Prefix(h, before.layers + each * spent.loops)]
    each = each if is_looped(stage) else 1
    return [Prefix(h, before.layers + each * count) for count, h in enumerate(streams, start=1)]


def _rest(stages: Sequence[nn.Module], before: Prefix) -> Prefix:
    for stage in stages:
        before = _advanced(stage, before)[-1]
    return before


def _through(blocks: Sequence[Block], x: Tensor, body: nn.Module) -> Iterator[Tensor]:
    again = isinstance(body, RecomputedSegments) and torch.is_grad_enabled()
    for block in blocks:
        x = recomputed(block, x, [block]) if again else block(x)
        yield x
