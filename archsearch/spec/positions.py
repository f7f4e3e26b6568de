"""The nodes of a space file with their places, and the one line that says what is wrong where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from archsearch.errors import LocatedError

LONGEST = 300


@dataclass(frozen=True)
class Place:
    """A file with a line and a column, both counted from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True)
class Scalar:
    """A scalar as written; ``plain`` when it has no quotes and no tag that makes it a text."""

    place: Place
    text: str
    plain: bool = True


@dataclass(frozen=True)
class Listing:
    """A sequence."""

    place: Place
    items: tuple[Located, ...]


@dataclass(frozen=True)
class Table:
    """A mapping with text keys, each there once, in the order of the document."""

    place: Place
    entries: tuple[tuple[Scalar, Located], ...]

    def get(self, name: str) -> Located | None:
        return next((value for key, value in self.entries if key.text == name), None)

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None


Located: TypeAlias = Scalar | Listing | Table


def fault(place: Place, key: str, expected: str, got: str, hint: str = "") -> LocatedError:
    """``file:line:col: error: key: expected ..., got ...`` and a hint, of at most 300 characters.

    Characters that a terminal would act on are escaped; long parts are shortened, the list of
    what was expected first of all.
    """
    file = _shorten_front(escape(place.file), 100)
    key = _shorten_front(escape(key) or "document", 70)
    hint = _shorten(escape(hint), 60)
    room = LONGEST - len(f"{file}:{place.line}:{place.column}: error: {key}: expected , got {hint}")
    expected = escape(expected)
    got = _shorten(escape(got), max(room - min(len(expected), 60), 24))
    expected = _shorten(expected, room - len(got))
    return LocatedError(
        file, place.line, place.column, f"{key}: expected {expected}, got {got}{hint}"
    )


def relocated(place: Place, key: str, message: str) -> LocatedError:
    """A :func:`fault` from a message ``expected ..., got ... (did you mean ...)``."""
    expected, _, ending = message.removeprefix("expected ").partition(", got ")
    got, mark, hint = ending.partition(" (did you mean")
    return fault(place, key, expected, got, mark + hint)


def escape(text: str) -> str:
    """The text with control, bidirectional and other invisible characters spelled out."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def quote(text: str) -> str:
    return f"'{_shorten(text, 50)}'"


def describe(node: Located) -> str:
    """What a node is, for the second half of a message."""
    match node:
        case Table(entries=()):
            return "an empty mapping"
        case Table():
            return "a mapping"
        case Listing(items=()):
            return "an empty list"
        case Listing():
            return "a list"
        case Scalar(text="", plain=True):
            return "nothing"
        case Scalar(plain=True):
            return _shorten(node.text, 50)
        case _:
            return f"the text {quote(node.text)}"


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."


def _shorten_front(text: str, length: int) -> str:
    return text if len(text) <= length else "..." + text[-(length - 3) :]
