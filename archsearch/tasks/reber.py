"""Whether a string is one of the Reber grammar's, plain or embedded."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from archsearch.errors import DataError
from archsearch.spec.signature import Signature
from archsearch.tasks.generated_classes import GeneratedClasses
from archsearch.tasks.task import Batch

SYMBOLS = "BTPSXVE"
# state to what it may say and where that leads; 7 accepts
GRAMMAR: dict[int, tuple[tuple[str, int], ...]] = {
    0: (("B", 1),),
    1: (("T", 2), ("P", 3)),
    2: (("S", 2), ("X", 4)),
    3: (("T", 3), ("V", 5)),
    4: (("X", 3), ("S", 6)),
    5: (("P", 4), ("V", 6)),
    6: (("E", 7),),
}
ACCEPTED = 7
SHORTEST = {False: 5, True: 9}  # of a plain and of an embedded string
ROOM = 8  # steps in which most strings come to an end
LAST = 2  # steps that an end takes at least


class Reber(GeneratedClasses):
    """Strings of the automaton of Reber 1967, half of them spoilt; one or zero at the end.

    ``embedded`` puts one between two symbols that must agree, B T .. T E or B P .. P E (Fahlman
    1991), which have to be remembered meanwhile. A ``hard`` spoilt string has only pairs of
    neighbours that valid ones have, so that pairs alone tell nothing; a ``naive`` one has a symbol
    changed for any other. Lengths are spread up to ``length``.
    """

    name = "reber"
    choices = 2

    def shapes(self) -> Signature:
        self.embedded: bool = self.options["embedded"]
        least = SHORTEST[self.embedded] + ROOM
        for given in (self.length, self.test_length):
            if given is not None and given < least:
                raise DataError(f"reber: strings need at least {least} steps, got {given}")
        if self.test_length is not None and self.test_length < self.length + LAST:
            raise DataError(
                f"reber: test_length must be at least {self.length + LAST} for length "
                f"{self.length}, got {self.test_length}"
            )
        self.legal = legal_pairs(self.embedded)
        return Signature("tokens", len(SYMBOLS), "class", 2, every_step=False, length=self.length)

    def sequence(self, rng: np.random.Generator, length: int) -> tuple[np.ndarray, int]:
        while True:
            word = self.valid(rng, length)
            valid = bool(rng.random() < 0.5)
            spoilt = word if valid else self.spoil(rng, word)
            if spoilt is not None:
                tokens = np.array([SYMBOLS.index(symbol) for symbol in spoilt], np.int64)
                return tokens, int(valid)

    def valid(self, rng: np.random.Generator, length: int) -> str:
        """A string of at most ``length`` steps."""
        around = 4 if self.embedded else 0
        # the long strings of a test are longer than any of the training
        least = 5 if length == self.length else self.length - around
        turn = int(rng.integers(least, max(least, length - around - ROOM) + 1))
        word = inner(rng, turn, length - around)
        if not self.embedded:
            return word
        side = "TP"[int(rng.integers(2))]
        return f"B{side}{word}{side}E"

    def spoil(self, rng: np.random.Generator, word: str) -> str | None:
        """The string with a mistake; None where the chosen kind of mistake cannot be made in it."""
        if self.options["negatives"] == "hard":
            if self.embedded and rng.random() < 0.5:
                other = "TP"[word[1] == "T"]
                return f"{word[:-2]}{other}E"
            return self._with_legal_pairs(rng, word)
        place, symbol = int(rng.integers(len(word))), SYMBOLS[int(rng.integers(len(SYMBOLS)))]
        changed = word[:place] + symbol + word[place + 1 :]
        return None if accepts(changed, self.embedded) else changed

    def _with_legal_pairs(self, rng: np.random.Generator, word: str) -> str | None:
        changed = [
            word[:place] + symbol + word[place + 1 :]
            for place in range(1, len(word) - 1)
            for symbol in SYMBOLS
            if symbol != word[place]
            and {word[place - 1] + symbol, symbol + word[place + 1]} <= self.legal
        ]
        wrong = [one for one in changed if not accepts(one, self.embedded)]
        return wrong[int(rng.integers(len(wrong)))] if wrong else None

    def shortcuts(self, batches: list[Batch]) -> dict[str, list[np.ndarray]]:
        def said(tokens: Sequence[int]) -> int:
            word = "".join(SYMBOLS[token] for token in tokens)
            return int(all(a + b in self.legal for a, b in itertools.pairwise(word)))

        return {
            "legal pairs": [
                np.array(
                    [said(row[:end]) for row, end in zip(b.inputs, b.lengths, strict=True)],
                    np.int64,
                )
                for b in batches
            ]
        }


def inner(rng: np.random.Generator, turn: int, longest: int) -> str:
    """A plain string that heads for its end after ``turn`` steps, of at most ``longest`` steps."""
    while True:
        state, word = 0, ""
        while state != ACCEPTED and len(word) < longest:
            ways = GRAMMAR[state]
            if len(word) < turn:
                # what leads to the end can wait
                ways = tuple(way for way in ways if way[1] != 6) or ways
            symbol, state = ways[int(rng.integers(len(ways)))]
            word += symbol
        if state == ACCEPTED:
            return word


def accepts(word: str, embedded: bool) -> bool:
    """Whether the grammar has the string."""
    if embedded:
        around = word[:1] + word[-1:] == "BE" and len(word) > 4
        return around and word[1] == word[-2] and word[1] in "TP" and accepts(word[2:-2], False)
    state = 0
    for symbol in word:
        led = [way for said, way in GRAMMAR.get(state, ()) if said == symbol]
        if not led:
            return False
        (state,) = led
    return state == ACCEPTED


def legal_pairs(embedded: bool) -> frozenset[str]:
    """The pairs of neighbours that occur in valid strings."""
    pairs = {
        first + second
        for ways in GRAMMAR.values()
        for first, state in ways
        for second, _ in GRAMMAR.get(state, ())
    }
    if embedded:
        pairs |= {"BT", "BP", "TB", "PB", "ET", "EP", "TE", "PE"}
    return frozenset(pairs)
