"""What the numbers in the names of columns say about steps that are read from left to right."""

from __future__ import annotations

import re
from itertools import pairwise

_NUMBERED = re.compile(r"(.*?)(\d+)")


def note_on_steps(names: tuple[str, ...]) -> tuple[str, ...]:
    """A note where the names of a wide table's steps tell of another order, or of channels."""
    found = [_NUMBERED.fullmatch(name) for name in names]
    stems: dict[str, list[int]] = {}
    for match in filter(None, found):
        stems.setdefault(match[1], []).append(int(match[2]))
    if not all(found) or len(stems) == len(names):
        return ()
    if len(stems) == 1:
        for stem, numbers in stems.items():
            for before, after in pairwise(numbers):
                if before > after:
                    turned = f"'{stem}{before}' before '{stem}{after}'"
                    return (f"steps are the columns in the order of the file: {turned}",)
        return ()
    alike = len({tuple(sorted(numbers)) for numbers in stems.values()}) == 1
    if not alike or not all(any(map(str.isalpha, stem)) for stem in stems):
        return ()
    first, second, *_ = stems
    return (
        f"columns are taken as {len(names)} steps of one channel; if '{first}...' and "
        f"'{second}...' are channels, write a row for each step (layout long)",
    )
