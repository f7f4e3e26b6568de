"""A stream as a policy sees it: what a chain needs is computed once the policy asks about it.

Every chain sees every step, so what it says is exactly what it says of the whole sequence so far.
Steps that a position has not been asked about wait in front of it: a stream that is mostly sure
early computes little, and memory grows with the steps that wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from archsearch.adapt.chain import Chain
from archsearch.adapt.policies.view import Signal, View, alike, certainty, changed, gap
from archsearch.adapt.walk import Walk


class StreamView(View):
    """``batch`` sequences in step; ``chains`` are all that will be asked about.

    Where there is an answer at every step, answers are those of the latest one.
    """

    def __init__(
        self, walk: Walk, batch: int, chains: Iterable[Chain], classes: bool, every_step: bool
    ) -> None:
        self.walk, self.classes, self.count = walk, classes, batch
        self.spent = torch.zeros(batch)
        self._root = _Root(walk, batch)
        self._nodes: dict[Chain, _Node] = {}
        self._readers: dict[Chain, _Reader] = {}
        self._every_step = every_step
        # what is asked about is known beforehand, so that nothing is kept for longer than needed
        for chain in (walk.plain, *chains):
            for length in range(len(chain) + 1):
                part = Chain(chain.path[:length])
                if part not in self._nodes:
                    self._nodes[part] = self._node(part)
            if chain not in self._readers:
                self._readers[chain] = _Reader(self, self._nodes[chain], every_step)

    def push(self, x_t: Tensor) -> None:
        """One more step, (batch, channels) or (batch,); whoever is not asked does not read it."""
        self._root.push(x_t)

    def answer(self, chain: Chain, rows: Tensor) -> Tensor:
        reader = self._readers[chain]
        reader.catch_up()
        return reader.answers[-1][rows]

    def sureness(self, signal: Signal, chain: Chain, rows: Tensor) -> Tensor:
        if signal == "cosine":
            node = self._nodes[chain]
            node.catch_up()
            return (node.cosines / node.done)[rows]
        reader = self._readers[chain]
        reader.catch_up()
        each = gap if signal == "gap" else certainty
        if not self._every_step:
            return each(reader.answers[-1])[rows]
        return (reader.sums[signal] / reader.done)[rows]

    def agrees(self, chain: Chain, other: Chain, rows: Tensor, tolerance: float) -> Tensor:
        one, two = self._readers[chain], self._readers[other]
        one.catch_up()
        two.catch_up()
        both = zip(one.answers, two.answers, strict=True)
        same = [alike(a[rows], b[rows], self.classes, tolerance) for a, b in both]
        return torch.stack(same).all(0)

    def features(self, chain: Chain, rows: Tensor) -> Tensor:
        reader = self._readers[chain]
        reader.catch_up()
        assert reader.last is not None
        return torch.cat([reader.total / reader.done, reader.last], -1)[rows]

    def halted(self, settings: Sequence[tuple[int, str, float]]) -> tuple[Tensor, Tensor]:
        with changed(self.walk, settings):
            return self.answer(self.walk.plain, torch.arange(self.count)), self.spent.clone()

    def _node(self, chain: Chain) -> _Node:
        if not chain.path:
            return self._root
        parent = self._nodes[Chain(chain.path[:-1])]
        return _Position(self, parent, chain.path[-1])


class _Node:
    """What a chain leaves at each step, for those who read it: items from step ``base`` on."""

    def __init__(self, stage: int | None) -> None:
        self.stage, self.base, self.done = stage, 0, 0
        self.items: deque[tuple[Tensor, Tensor]] = deque()
        self.readers: list[Any] = []
        self.cosines: Tensor | float = 0.0

    def catch_up(self) -> None:
        """Bring it to the latest step."""

    def item(self, step: int) -> tuple[Tensor, Tensor]:
        return self.items[step - self.base]

    def put(self, h: Tensor, first: Tensor) -> None:
        self.items.append((h, first))
        self.done += 1

    def forget(self) -> None:
        """Drop what everybody has read."""
        read = min((reader.done for reader in self.readers), default=self.done)
        while self.base < read:
            self.items.popleft()
            self.base += 1


class _Root(_Node):
    def __init__(self, walk: Walk, batch: int) -> None:
        super().__init__(None)
        self.embed = walk.model.embed
        self.state = self.embed.initial_state(batch)

    def push(self, x_t: Tensor) -> None:
        h, self.state = self.embed.step(x_t, self.state)
        self.put(h, h)


class _Position(_Node):
    """One position behind a chain, and its own state."""

    def __init__(self, view: StreamView, parent: _Node, position: int) -> None:
        self.unit, self.cost = view.walk.units[position], view.walk.costs[position]
        super().__init__(self.unit.stage)
        self.view, self.parent = view, parent
        self.state = self.unit.initial_state(view.count)
        parent.readers.append(self)

    def catch_up(self) -> None:
        self.parent.catch_up()
        while self.done < self.parent.done:
            h, first = self.parent.item(self.done)
            if self.unit.stage != self.parent.stage:
                first = h
            y, self.state = self.unit.step(h, self.state, first)
            self.cosines = self.cosines + functional.cosine_similarity(y, h, dim=-1)
            self.put(y, first)
            self.view.spent += self.cost
        self.parent.forget()


class _Reader:
    """What the head says behind a chain, and what is said of the steps so far."""

    def __init__(self, view: StreamView, node: _Node, every_step: bool) -> None:
        self.model, self.node, self.every_step = view.walk.model, node, every_step
        self.state = self.model.head.initial_state(view.count)
        self.done = 0
        self.answers: list[Tensor] = []
        self.sums: dict[str, Tensor | float] = {"gap": 0.0, "entropy": 0.0}
        self.total: Tensor | float = 0.0
        self.last: Tensor | None = None
        node.readers.append(self)

    def catch_up(self) -> None:
        self.node.catch_up()
        while self.done < self.node.done:
            h, _ = self.node.item(self.done)
            answer, self.state = self.model.head.step(self.model.norm(h), self.state)
            self.total, self.last = self.total + h, h
            if not self.every_step:
                self.answers.clear()
            else:
                self.sums["gap"] = self.sums["gap"] + gap(answer)
                self.sums["entropy"] = self.sums["entropy"] + certainty(answer)
            self.answers.append(answer)
            self.done += 1
        self.node.forget()
