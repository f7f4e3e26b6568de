"""A chain as a program of few words: segments of the network that are kept, skipped or repeated."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

from archsearch.adapt.chain import Chain

Word: TypeAlias = Literal["skip", "keep", "repeat"]
TIMES: dict[Word, int] = {"skip": 0, "keep": 1, "repeat": 2}
LONGEST = 4


@dataclass(frozen=True)
class Segment:
    """``length`` positions from ``start`` on, all of them skipped, kept, or repeated once."""

    start: int
    length: int
    word: Word

    @property
    def path(self) -> tuple[int, ...]:
        return tuple(range(self.start, self.start + self.length)) * TIMES[self.word]


def program(chain: Chain, depth: int, longest: int = LONGEST) -> tuple[Segment, ...] | None:
    """The one program of a chain; None for an order that no program gives.

    Of all that give it the one with the fewest segments; of these that with the fewest skips, then
    the most repeats, then the longest segments first (arXiv 2606.06574).
    """

    @cache
    def best(start: int, done: int) -> tuple[tuple[object, ...], tuple[Segment, ...]] | None:
        if start == depth:
            return ((0, 0, 0, ()), ()) if done == len(chain.path) else None
        found = []
        for length in range(1, min(longest, depth - start) + 1):
            for word in TIMES:
                segment = Segment(start, length, word)
                end = done + len(segment.path)
                if chain.path[done:end] != segment.path:
                    continue
                after = best(start + length, end)
                if after is not None:
                    (segments, skips, repeats, packs), rest = after
                    rank = (
                        segments + 1,  # type: ignore[operator]
                        skips + (word == "skip"),  # type: ignore[operator]
                        repeats - (word == "repeat"),  # type: ignore[operator]
                        (-length, *packs),  # type: ignore[misc]
                    )
                    found.append((rank, (segment, *rest)))
        return min(found, key=lambda each: each[0], default=None)

    parsed = best(0, 0)
    return None if parsed is None else parsed[1]


def chain_of(segments: tuple[Segment, ...]) -> Chain:
    """The order that a program gives."""
    return Chain(tuple(position for segment in segments for position in segment.path))
