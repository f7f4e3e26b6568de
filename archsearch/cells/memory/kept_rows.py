"""A window of rows computed of the latest positions, and how far back each of them lies."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def window(old: Tensor, new: Tensor, reach: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """All rows (batch, S + T, size), their ages and who sees whom (T, S + T), and what is kept.

    ``old`` are those before, (batch, S, size). A position sees itself and the ``reach`` - 1 before
    it; ages count from zero and are cut to those.
    """
    rows = torch.cat([old, new], 1)
    at = torch.arange(old.shape[1], rows.shape[1], device=rows.device)[:, None]
    ages = at - torch.arange(rows.shape[1], device=rows.device)
    seen = (ages >= 0) & (ages < reach)
    kept = rows[:, max(rows.shape[1] - (reach - 1), 0) :]
    return rows, ages.clamp(0, reach - 1), seen, kept


def by_stretches(
    x: Tensor, old: Tensor, reach: int, look: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """What ``look`` finds for the positions of ``x``, some at a time, and the rows kept at the end.

    ``look`` is given positions and the rows kept before them, and answers with its output and the
    rows that it keeps. Work and memory grow with the length and the ``reach``, not with the square
    of the length.
    """
    found = []
    for positions in x.split(max(reach // 2, 16), 1):
        answer, old = look(positions, old)
        found.append(answer)
    return torch.cat(found, 1), old
