"""Where a sequence is cut by multiples of a number of positions, wherever it begins."""

from __future__ import annotations

from torch import Tensor


def borders(length: int, every: int, start: Tensor | None) -> list[int]:
    """The ends of stretches that reach up to multiples of ``every``, counted from ``start`` (B,).

    Without a start all rows begin at zero. Where rows disagree each position is a stretch.
    """
    left = every
    if start is not None:
        rest = every - start % every
        if bool((rest != rest[0]).any()):
            return list(range(1, length + 1))
        left = int(rest[0])
    return [*range(left, length, every), length]
