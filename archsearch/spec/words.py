"""Values and names in the words of a message."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MANY_NAMES = 16


def suggestion(word: str, known: Iterable[str]) -> str:
    """`` (did you mean 'gru'?)`` when something close is known, else nothing."""
    # comparing costs the product of the lengths, and no name is that long
    close = difflib.get_close_matches(str(word)[:100], list(known), n=1, cutoff=0.6)
    return f" (did you mean '{close[0]}'?)" if close else ""


def known_names(kind: str, names: Iterable[str]) -> str:
    """The names of a kind, or, where nobody would read so many, the command that lists them."""
    known = sorted(names)
    if len(known) <= MANY_NAMES:
        return ", ".join(known)
    asked = {"cell": "cells", "task": "tasks"}.get(kind, f"cells --kind {kind}")
    return f"'archsearch {asked}' lists {len(known)}"


def spell(value: object) -> str:
    """A value as the space file would write it, texts in quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    if isinstance(value, tuple):
        return "[" + ", ".join(spell(item) for item in value) + "]"
    if isinstance(value, str):
        return f"'{value}'" if len(value) <= 60 else f"'{value[:57]}...'"
    return str(value)


def unquoted(value: object) -> str:
    """The same, but for a text, which stands as it is."""
    return value if isinstance(value, str) else spell(value)
