"""Blocks that keep less for the backward pass and compute the rest again.

Gradients are the same to the last bit, random numbers included, at one more forward pass (Chen et
al. 2016, arXiv 1604.06174). What a pass learns in buffers is learned once, and what is computed
again meets them as they were. Nothing is computed again where no gradient is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint, noop_context_fn

from archsearch.blocks.padding import ALL, Positions, among, positions
from archsearch.blocks.structure.block import Block
from archsearch.blocks.structure.connections import Chain

Met: TypeAlias = list[tuple[nn.Module, str, Tensor]]
Versions: TypeAlias = dict[str, tuple[int, int]]


def recomputed(
    apply: Callable[[Tensor], Tensor], x: Tensor, modules: Iterable[nn.Module]
) -> Tensor:
    """``apply(x)``, of which only x is kept; ``modules`` are those that it calls."""
    parts = [part for module in modules for part in module.modules() if part._buffers]
    known = positions()

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        met: Met = []
        return _noting(parts, met), AsMet(met, known)

    special = bool(parts) or known is not ALL
    y: Tensor = checkpoint(
        apply, x, use_reentrant=False, context_fn=contexts if special else noop_context_fn
    )
    return y


@contextmanager
def _noting(parts: Sequence[nn.Module], met: Met) -> Iterator[None]:
    """Adds to ``met`` the buffers of those parts that learn inside, as they were before."""
    before = remembered(parts)
    yield
    met += learned_since(before)


def remembered(parts: Iterable[nn.Module]) -> list[tuple[nn.Module, Versions, dict[str, Tensor]]]:
    """Modules, with copies of their own buffers."""
    return [
        (part, _versions(part), {name: own.clone() for name, own in _own(part)})
        for part in parts
        if part._buffers
    ]


def learned_since(before: Iterable[tuple[nn.Module, Versions, dict[str, Tensor]]]) -> Met:
    """All buffers, as they were, of those modules of which some was written to since."""
    changed = (kept for kept in before if _versions(kept[0]) != kept[1])
    return [(part, name, copy) for part, _, copies in changed for name, copy in copies.items()]


def _versions(part: nn.Module) -> Versions:
    return {name: (id(own), own._version) for name, own in _own(part)}


def _own(part: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return part.named_buffers(recurse=False)


class AsMet(AbstractContextManager[None]):
    """Copies of these buffers stand in their place inside; what is written to them is lost.

    What is known of the positions is what it was, too.
    """

    def __init__(self, met: Met, known: Positions) -> None:
        self.met, self.known = met, known
        self.now: list[Tensor | None] = []

    # more than once where gradients are asked for again
    def __enter__(self) -> None:
        self.now = [part._buffers[name] for part, name, _ in self.met]
        for part, name, value in self.met:
            part._buffers[name] = value.clone()
        self.positions = among(self.known)
        self.positions.__enter__()

    def __exit__(self, *fault: object) -> None:
        self.positions.__exit__(None, None, None)
        for (part, name, _), buffer in zip(self.met, self.now, strict=True):
            part._buffers[name] = buffer


class RecomputedBlock(Block):
    """A block of which only the input is kept."""

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(x)
        return recomputed(super().forward, x, [self])


class RecomputedSegments(Chain):
    """A chain of n blocks in segments of about sqrt(n), of each of which the input is kept."""

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(x)
        length = max(1, round(math.sqrt(len(self.blocks))))
        for first in range(0, len(self.blocks), length):
            blocks = self.blocks[first : first + length]
            x = recomputed(partial(_segment, blocks), x, blocks)
        return x


def _segment(blocks: Iterable[nn.Module], x: Tensor) -> Tensor:
    for block in blocks:
        x = block(x)
    return x
