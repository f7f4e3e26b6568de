"""Some positions of each sequence go through a part of the network as a sequence of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from archsearch.blocks.padding import some_positions

Rows: TypeAlias = tuple[Any, ...]


def highest(
    scores: Tensor, share: float, among: Tensor | None = None, real: Tensor | None = None
) -> Tensor:
    """(batch, time) bool: a ``share`` of each row's real positions, those of the highest scores.

    At least one, if there is one, and only of those ``among``, of which there must be so many.
    """
    for allowed in (among, real):
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
    found = torch.zeros_like(scores, dtype=torch.bool)
    if real is None:
        count = max(1, round(share * scores.shape[1]))
        return found.scatter(1, scores.topk(count, 1).indices, True)
    lengths = real.sum(1, keepdim=True)
    counts = (share * lengths.double()).round().clamp_min(1).minimum(lengths)
    places = torch.arange(scores.shape[1], device=scores.device)
    return found.scatter(1, scores.argsort(1, descending=True), places < counts)


def through_chosen(
    apply: Callable[..., Tensor], chosen: Tensor, x: Tensor, *more: Tensor
) -> Tensor:
    """x (batch, time, width) with ``apply`` at the chosen positions (batch, time).

    It is called with x, and with ``more`` of the same shape, at the chosen positions of rows that
    have equally many, (rows, count, width), so that no call sees padding.
    """
    y, counts = x, chosen.sum(1)
    total = int(counts.sum())
    for count in counts.unique().tolist():
        rows = torch.nonzero(counts == count).squeeze(1)
        if not count:
            continue
        # in the order of time
        places = torch.nonzero(chosen[rows])[:, 1].view(-1, count)
        at = (rows[:, None], places)
        with some_positions(None, len(rows) * count / total):
            mixed = apply(x[at], *(other[at] for other in more))
        # autocast may change the type of either
        kind = torch.promote_types(y.dtype, mixed.dtype)
        y = y.to(kind).index_put(at, mixed.to(kind))
    return y


def step_chosen(
    step: Callable[..., tuple[Tensor, Any]], chosen: Tensor, state: Rows, x_t: Tensor, *more: Tensor
) -> tuple[Tensor, Rows]:
    """One step of the chosen rows (batch,), each with a state of its own; the others stay."""
    rows, after = [], []
    for row, (goes, before) in enumerate(zip(chosen.tolist(), state, strict=True)):
        y_t, now = x_t[row : row + 1], before
        if goes:
            y_t, now = step(y_t, before, *(part[row : row + 1] for part in more))
        rows.append(y_t)
        after.append(now)
    return torch.cat(rows), tuple(after)
