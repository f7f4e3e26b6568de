"""A chain: which positions of a trained network are applied, in which order; plain data.

A position is a layer of the network as :mod:`archsearch.adapt.units` counts them, from zero. The
order is the canonical form: two ways to skip and repeat that give one order are one chain.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, product

from archsearch.errors import InputError

MOST = 10_000
_TEXT = re.compile(r"(\d{1,4}(-\d{1,4})?)( \d{1,4}(-\d{1,4})?)*")


@dataclass(frozen=True, order=True)
class Chain:
    """Positions in the order in which they are applied; the empty chain applies none."""

    path: tuple[int, ...] = ()

    @classmethod
    def plain(cls, depth: int) -> Chain:
        """Every position once, in its order: what the network does by itself."""
        return cls(tuple(range(depth)))

    def skip(self, start: int, count: int) -> Chain:
        """Without ``count`` of its steps from ``start`` on."""
        self._within(start, count)
        return Chain(self.path[:start] + self.path[start + count :])

    def repeat(self, start: int, count: int, times: int) -> Chain:
        """With ``count`` of its steps from ``start`` on applied ``times`` times more."""
        self._within(start, count)
        end = start + count
        return Chain(self.path[:end] + self.path[start:end] * times + self.path[end:])

    def counts(self, depth: int) -> tuple[int, ...]:
        """How often each of ``depth`` positions is applied."""
        found = Counter(self.path)
        return tuple(found[position] for position in range(depth))

    def cost(self, costs: Sequence[int]) -> int:
        """What it applies in all, where position p costs ``costs[p]``."""
        return sum(costs[position] for position in self.path)

    def __len__(self) -> int:
        return len(self.path)

    def __str__(self) -> str:
        """Neighbours as ranges: ``0-2 5 5``; the empty chain is ``none``."""
        runs = groupby(enumerate(self.path), key=lambda step: step[1] - step[0])
        parts = [[position for _, position in run] for _, run in runs]
        return " ".join(str(p[0]) if len(p) == 1 else f"{p[0]}-{p[-1]}" for p in parts) or "none"

    def _within(self, start: int, count: int) -> None:
        if not (count >= 1 and start >= 0 and start + count <= len(self.path)):
            raise InputError(f"chain {self} has no {count} steps from {start} on")


def read_chain(text: str, depth: int) -> Chain:
    """The inverse of ``str`` for a network of ``depth`` positions; InputError says the fault."""
    if text == "none":
        return Chain()
    if len(text) > MOST or not _TEXT.fullmatch(text):
        raise InputError(f"expected a chain such as '0-2 5', got '{text[:40]}'")
    path: list[int] = []
    for part in text.split(" "):
        first, _, last = part.partition("-")
        path += range(int(first), int(last or first) + 1)
    if len(path) > MOST or not all(0 <= position < depth for position in path):
        raise InputError(f"chain '{text[:40]}' leaves the {depth} positions of the network")
    return Chain(tuple(path))


def enumerated(depth: int, counts: Sequence[int] = (0, 1, 2)) -> Iterator[Chain]:
    """Every chain that applies each of ``depth`` positions so often, neighbours in their order."""
    for times in product(sorted(counts), repeat=depth):
        yield Chain(tuple(p for p, count in enumerate(times) for _ in range(count)))


def prefixes(depth: int) -> tuple[Chain, ...]:
    """The first 0, 1, .., ``depth`` positions."""
    return tuple(Chain.plain(length) for length in range(depth + 1))
