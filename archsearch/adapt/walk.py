"""A network applied along chains to whole sequences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from archsearch.adapt.chain import Chain
from archsearch.adapt.units import units_of
from archsearch.build import Model


@dataclass(frozen=True)
class Part:
    """Sequences that are applied together: ``rows`` of the batch, all of them where it is None.

    ``h`` is (rows, time, width), ``first`` what came into the stage that was applied last.
    """

    rows: Tensor | None
    h: Tensor
    first: Tensor


@dataclass(frozen=True)
class Stand:
    """How far a batch has come; ``stage`` is the one that was applied last."""

    parts: tuple[Part, ...]
    stage: int | None
    count: int
    time: int
    lengths: Tensor | None

    @property
    def h(self) -> Tensor:
        """The stream, (batch, time, width), zero beyond the lengths of a cut batch."""
        if self.parts[0].rows is None:
            return self.parts[0].h
        whole = self.parts[0].h.new_zeros(self.count, self.time, self.parts[0].h.shape[-1])
        for part in self.parts:
            whole[part.rows, : part.h.shape[1]] = part.h
        return whole

    def take(self, rows: Tensor) -> Stand:
        """The same for some rows of the batch, (rows,) whole numbers."""
        if torch.equal(rows, torch.arange(self.count, device=rows.device)):
            # a copy may lie elsewhere in memory, and be rounded otherwise
            return self
        place = torch.full((self.count,), -1, dtype=torch.long, device=rows.device)
        place[rows] = torch.arange(len(rows), device=rows.device)
        parts = []
        for part in self.parts:
            if part.rows is None:
                parts.append(Part(None, part.h[rows], part.first[rows]))
                continue
            now = place[part.rows]
            kept = now >= 0
            parts.append(Part(now[kept], part.h[kept], part.first[kept]))
        lengths = None if self.lengths is None else self.lengths[rows]
        return replace(self, parts=tuple(parts), count=len(rows), lengths=lengths)


class Walk:
    """A network and its positions; ``costs`` are the layers that each position applies.

    With the plain chain the prediction is that of the network to the last bit.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.units = units_of(model)
        self.costs = tuple(unit.layers for unit in self.units)

    @property
    def depth(self) -> int:
        return len(self.units)

    @property
    def plain(self) -> Chain:
        return Chain.plain(self.depth)

    @property
    def full(self) -> int:
        """Layers that the network applies by itself."""
        return sum(self.costs)

    def start(self, x: Tensor, lengths: Tensor | None = None) -> Stand:
        """Before the first position; where a cell sees the future each length is on its own."""
        count, time = x.shape[:2]
        if lengths is None or self.model.causal:
            h = self.model.embed(x)
            return Stand((Part(None, h, h),), None, count, time, lengths)
        parts = []
        for length in torch.unique(lengths).tolist():
            rows = torch.nonzero(lengths == length).squeeze(1)
            h = self.model.embed(x[rows, :length])
            parts.append(Part(rows, h, h))
        return Stand(tuple(parts), None, count, time, lengths)

    def advance(self, stand: Stand, position: int) -> Stand:
        """One position further."""
        unit = self.units[position]
        enters = unit.stage != stand.stage
        parts = []
        for part in stand.parts:
            first = part.h if enters else part.first
            h = unit.forward(part.h, first) if len(part.h) else part.h
            parts.append(Part(part.rows, h, first))
        return replace(stand, parts=tuple(parts), stage=unit.stage)

    def read(self, stand: Stand) -> Tensor:
        """The prediction from here, (batch, outputs) or (batch, time, outputs)."""
        prediction: Tensor = self.model.head(self.model.norm(stand.h), stand.lengths)
        return prediction

    def run(self, chain: Chain, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The prediction of a batch along one chain."""
        stand = self.start(x, lengths)
        for position in chain.path:
            stand = self.advance(stand, position)
        return self.read(stand)

    def run_each(self, chains: Sequence[Chain], x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """The predictions of a batch with a chain for each row; equal chains run together."""
        rows: dict[Chain, list[int]] = {}
        for row, chain in enumerate(chains):
            rows.setdefault(chain, []).append(row)
        start = self.start(x, lengths)
        answers: Tensor | None = None
        for chain, group in rows.items():
            chosen = torch.tensor(group, device=x.device)
            stand = start.take(chosen)
            for position in chain.path:
                stand = self.advance(stand, position)
            found = self.read(stand)
            if answers is None:
                answers = found.new_zeros(len(chains), *found.shape[1:])
            answers[chosen] = found
        if answers is None:
            raise ValueError("expected at least one row")
        return answers

    def run_all(
        self, chains: Iterable[Chain], x: Tensor, lengths: Tensor | None = None
    ) -> Iterator[tuple[Chain, Tensor]]:
        """Each chain with the predictions of the whole batch, in lexicographic order.

        What chains begin with in common is applied once: all 3^L chains that apply each of L
        positions up to twice take 3^L - 1 applications.
        """
        stands = [self.start(x, lengths)]
        path: tuple[int, ...] = ()
        for chain in sorted(set(chains)):
            shared = _shared(path, chain.path)
            del stands[shared + 1 :]
            for position in chain.path[shared:]:
                stands.append(self.advance(stands[-1], position))
            path = chain.path
            yield chain, self.read(stands[-1])


def _shared(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """How many positions two paths begin with in common."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))
