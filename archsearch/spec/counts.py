"""How many weights each matrix keeps, as the text of an option: ``a.weight=12 b.weight=7``."""

from __future__ import annotations

from collections.abc import Mapping

from archsearch.errors import SpaceError
from archsearch.spec.language import Language
from archsearch.spec.tensorheader import is_tensor_name
from archsearch.spec.tree import Fixed, Node
from archsearch.spec.words import spell

# before the name of a matrix, in the metrics of a confirmed model whose mask was learned
KEPT = "kept."


class Counts(Language):
    """Matrices by name, each once; spelled in the order of the names."""

    expected = "matrices with their numbers of weights, such as 'a.weight=12 b.weight=7'"
    searched = "no"

    def normal(self, text: str) -> str:
        return spell_counts(read_counts(text))

    def open(self) -> Node:
        return Fixed("")


def spell_counts(counts: Mapping[str, int]) -> str:
    return " ".join(f"{name}={counts[name]}" for name in sorted(counts))


def read_counts(text: str) -> dict[str, int]:
    """The counts that a text tells; raises SpaceError at the first part that tells none."""
    found: dict[str, int] = {}
    for part in text.split():
        name, equals, number = part.partition("=")
        plain = number.isascii() and number.isdecimal() and len(number) < 16
        if not (equals and plain and is_tensor_name(name)):
            raise SpaceError(f"expected {Counts.expected}, got {spell(part)}")
        if name in found:
            raise SpaceError(f"expected every matrix once, got {spell(name)} twice")
        found[name] = int(number)
    return found
