"""Two sorts of blocks in one stage: which share of the copies is of the other sort, and where."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from archsearch.spec.architecture import Block
from archsearch.spec.domains import FloatRange, IntRange
from archsearch.spec.tree import (
    Choose,
    Decision,
    Fixed,
    Node,
    Pick,
    Range,
    Row,
    join,
    product,
    total,
)

PLACES = ("first", "last", "even", "random")
# so many arrangements of "random" a search can tell apart
DRAWS = IntRange(0, 63)


def replaced(copies: int, share: float) -> int:
    """How many of the copies a share is: the nearest number, a half up."""
    return math.floor(share * copies + 0.5)


def positions(copies: int, count: int, place: str, draw: int = 0) -> tuple[int, ...]:
    """Which of the copies, from 0, are of the other sort.

    ``even`` puts them in the middle of as many equal parts; ``random`` is the same for the same
    ``draw`` everywhere.
    """
    match place:
        case "first":
            return tuple(range(count))
        case "last":
            return tuple(range(copies - count, copies))
        case "even":
            return tuple((2 * number + 1) * copies // (2 * count) for number in range(count))
        case _:
            ranked = sorted(range(copies), key=lambda copy: _digest(f"{draw}/{copy}"))
            return tuple(sorted(ranked[:count]))


@dataclass(frozen=True)
class Mix:
    """The other blocks, their share of a stage's copies, and where they stand.

    A part is decided only where it matters: the place where some but not all copies are of the
    other sort, the draw where the place is random.
    """

    blocks: Node
    share: Node
    at: Node

    def arranged(
        self, copies: int, usual: Node, path: str, choose: Choose
    ) -> tuple[tuple[Block, ...], int]:
        """The blocks of a stage of so many ``copies``, and how often they are to be repeated.

        ``path`` is that of the stage.
        """
        inside = join(path, "mix")
        count = replaced(copies, self.share.walk(join(inside, "share"), choose))
        own = usual.walk(join(path, "blocks"), choose) if count < copies else ()
        if count == 0:
            return own, copies
        other = self.blocks.walk(join(inside, "blocks"), choose)
        if count == copies:
            return other, copies
        place = self.at.walk(join(inside, "at"), choose)
        draw = int(choose(join(inside, "draw"), DRAWS)) if place == "random" else 0
        chosen = positions(copies, count, place, draw)
        rows = (other if copy in chosen else own for copy in range(copies))
        return tuple(block for row in rows for block in row), 1

    def around(self, usual: Node, path: str, condition: str) -> Iterator[Decision]:
        """The decisions of the mix and of the usual blocks; ``path`` is that of the stage."""
        inside = join(path, "mix")
        share, at = join(inside, "share"), join(inside, "at")

        def when(*words: str) -> str:
            return " and ".join(filter(None, [condition, *words]))

        some, rest = f"{share} takes some copies", f"{share} leaves some copies"
        yield from self.share.decisions(share, condition)
        yield from usual.decisions(join(path, "blocks"), when(rest))
        yield from self.blocks.decisions(join(inside, "blocks"), when(some))
        yield from self.at.decisions(at, when(some, rest))
        if self.at.matches("random"):
            yield join(inside, "draw"), DRAWS, when(some, rest, f"{at} is random")

    def combinations(self, repeat: Node, usual: Node) -> int | float:
        """The number of combinations of a stage's copies, its blocks and this mix."""
        sizes = usual.size(), self.blocks.size()
        shares = values(self.share)
        if shares is None:
            return math.inf
        terms = []
        for copies, ways in values(repeat) or ():
            for share, often in shares:
                count = replaced(copies, share)
                part = product((sizes[0] if count < copies else 1, sizes[1] if count else 1))
                both = self._places() if 0 < count < copies else 1
                terms.append(product((ways, often, part, both)))
        return total(terms)

    def _places(self) -> int:
        once = int(self.at.size()) - int(self.at.count("random"))
        return once + int(self.at.count("random")) * DRAWS.size

    def holds(self, repeat: Node, usual: Node, blocks: tuple[Block, ...]) -> bool:
        """Whether some copies and some arrangement of them give these blocks."""
        lengths = [(own, other) for own in _lengths(usual) for other in _lengths(self.blocks)]
        for copies in filter(repeat.matches, range(1, len(blocks) + 1)):
            for count in filter(lambda count: self._gives(copies, count), range(copies + 1)):
                for own, other in lengths:
                    if (copies - count) * own + count * other != len(blocks):
                        continue
                    for chosen in self._chosen(copies, count):
                        sizes = [other if copy in chosen else own for copy in range(copies)]
                        rows = _rows(blocks, sizes)
                        theirs = {row for copy, row in enumerate(rows) if copy in chosen}
                        ours = {row for copy, row in enumerate(rows) if copy not in chosen}
                        if _one(theirs, self.blocks) and _one(ours, usual):
                            return True
        return False

    def _gives(self, copies: int, count: int) -> bool:
        """Whether some share is so many of the copies."""
        listed = values(self.share)
        if listed is not None:
            return any(replaced(copies, share) == count for share, _ in listed)
        # of a range the share that is nearest to it
        near = (min(max(count / copies, low), high) for low, high in spans(self.share))
        return any(self.share.matches(one) and replaced(copies, one) == count for one in near)

    def _chosen(self, copies: int, count: int) -> set[frozenset[int]]:
        """The sets of copies that may be of the other sort."""
        if count in (0, copies):
            return {frozenset(range(count))}
        return {
            frozenset(positions(copies, count, place, draw))
            for place in PLACES
            if self.at.matches(place)
            for draw in range(DRAWS.size if place == "random" else 1)
        }

    def to_plain(self) -> Any:
        return {
            "blocks": self.blocks.to_plain(),
            "share": self.share.to_plain(),
            "at": self.at.to_plain(),
        }


def values(node: Node) -> tuple[tuple[Any, int], ...] | None:
    """All numbers that the node can give, with how many ways each; None where they are no list."""
    match node:
        case Fixed():
            return ((node.value, 1),)
        case Range(IntRange() as domain):
            return tuple((number, 1) for number in range(domain.low, domain.high + 1, domain.step))
        case Range(FloatRange() as domain) if domain.size < math.inf:
            step = domain.step or 0.0
            return tuple(
                (min(domain.low + step * n, domain.high), 1) for n in range(int(domain.size))
            )
        case Pick():
            listed = [values(branch) for branch in node.branches]
            return None if None in listed else tuple(pair for some in listed for pair in some or ())
        case _:
            return None


def spans(node: Node) -> Iterator[tuple[float, float]]:
    """The ends of every range, and twice every number, that the node can give."""
    match node:
        case Fixed(float() as value):
            yield value, value
        case Range():
            yield node.domain.low, node.domain.high
        case Pick():
            for branch in node.branches:
                yield from spans(branch)


def _lengths(node: Node) -> set[int]:
    """The lengths of the lists that the node can give."""
    if isinstance(node, Pick):
        return set().union(*(_lengths(branch) for branch in node.branches))
    return {len(node.items)} if isinstance(node, Row) else set()


def _rows(blocks: tuple[Block, ...], sizes: list[int]) -> list[tuple[Block, ...]]:
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    return [blocks[start : start + size] for start, size in zip(starts, sizes, strict=True)]


def _one(rows: set[tuple[Block, ...]], node: Node) -> bool:
    """Whether all rows are the same one, and the node can give it."""
    return len(rows) <= 1 and all(node.matches(row) for row in rows)


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
