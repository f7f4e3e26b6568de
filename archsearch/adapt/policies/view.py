"""What a policy may look at: a network at work on a batch, without any label."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from archsearch.adapt.chain import Chain
from archsearch.adapt.walk import Stand, Walk
from archsearch.blocks.ends.pools import real_steps

Signal: TypeAlias = Literal["gap", "entropy", "cosine"]
SIGNALS: tuple[Signal, ...] = ("gap", "entropy", "cosine")


class View(ABC):
    """A batch of sequences, whole or as far as a stream has come.

    ``spent`` (rows,) counts the layers that were applied to each row to answer what was asked;
    what was computed once is not paid for again. ``rows`` of a question are whole numbers (asked,).
    """

    walk: Walk
    classes: bool
    count: int
    spent: Tensor

    @abstractmethod
    def answer(self, chain: Chain, rows: Tensor) -> Tensor:
        """The prediction along a chain, (asked, ..)."""

    @abstractmethod
    def sureness(self, signal: Signal, chain: Chain, rows: Tensor) -> Tensor:
        """(asked,), more is surer, a mean over the steps where there is an answer at each.

        "gap" is the lead of the likeliest class in probability, "entropy" one minus the share of
        the largest entropy, "cosine" that between what the chain's last position read and wrote,
        as a mean over all steps.
        """

    @abstractmethod
    def agrees(self, chain: Chain, other: Chain, rows: Tensor, tolerance: float) -> Tensor:
        """(asked,), whether two chains say the same, at every step where there is more than one.

        Classes are the same or not; values are if no output differs by more than ``tolerance``.
        """

    @abstractmethod
    def features(self, chain: Chain, rows: Tensor) -> Tensor:
        """(asked, 2 width): the stream at the chain's end, mean over the steps and last step."""

    @abstractmethod
    def halted(self, settings: Sequence[tuple[int, str, float]]) -> tuple[Tensor, Tensor]:
        """The network's own answer and (rows,) layers, with options of some stages changed.

        Each setting is (stage, attribute, value).
        """


@dataclass(frozen=True)
class Seen:
    """A chain that was walked: ``place`` (batch,) is each row's in the stand, -1 where absent."""

    stand: Stand
    place: Tensor
    before: Stand | None


class WholeView(View):
    """Whole sequences; ``x`` and ``lengths`` as the network takes them."""

    def __init__(self, walk: Walk, x: Tensor, lengths: Tensor | None, classes: bool) -> None:
        self.walk, self.classes, self.count = walk, classes, len(x)
        self.x, self.lengths = x, lengths
        self.spent = torch.zeros(len(x))
        start, rows = walk.start(x, lengths), torch.arange(len(x))
        self._seen = {Chain(): Seen(start, rows, None)}
        self._answers: dict[Chain, tuple[Tensor, Tensor]] = {}

    def answer(self, chain: Chain, rows: Tensor) -> Tensor:
        known = self._answers.get(chain)
        if known is None or not (known[1][rows] >= 0).all():
            seen = self._walked(chain, rows)
            known = self._answers[chain] = self.walk.read(seen.stand), seen.place
        return known[0][known[1][rows]]

    def sureness(self, signal: Signal, chain: Chain, rows: Tensor) -> Tensor:
        if signal == "cosine":
            seen = self._walked(chain, rows)
            assert seen.before is not None
            here = seen.place[rows]
            each = functional.cosine_similarity(seen.stand.h[here], seen.before.h[here], dim=-1)
            return self._mean(each, rows)
        answer = self.answer(chain, rows)
        each = gap(answer) if signal == "gap" else certainty(answer)
        return self._mean(each, rows) if each.ndim == 2 else each

    def agrees(self, chain: Chain, other: Chain, rows: Tensor, tolerance: float) -> Tensor:
        # the other is what the chain goes on from
        two = self.answer(other, rows)
        same = alike(self.answer(chain, rows), two, self.classes, tolerance)
        if same.ndim == 1:
            return same
        if self.lengths is not None:
            same = same | ~real_steps(self.lengths[rows], same.shape[1])
        return same.all(1)

    def features(self, chain: Chain, rows: Tensor) -> Tensor:
        seen = self._walked(chain, rows)
        h = seen.stand.h[seen.place[rows]]
        if self.lengths is None:
            return torch.cat([h.mean(1), h[:, -1]], -1)
        lengths = self.lengths[rows]
        inside = real_steps(lengths, h.shape[1]).unsqueeze(-1)
        last = h[torch.arange(len(h)), lengths - 1]
        return torch.cat([(h * inside).sum(1) / lengths.unsqueeze(-1), last], -1)

    def halted(self, settings: Sequence[tuple[int, str, float]]) -> tuple[Tensor, Tensor]:
        model = self.walk.model
        with changed(self.walk, settings):
            h, spent = model._stages(self.x, self.lengths)
            prediction = model.head(model.norm(h), self.lengths)
        rows = torch.arange(self.count)
        layers = torch.zeros(self.count)
        for stage, used in enumerate(spent):
            loops = getattr(model.stages[stage], "loops", 1)
            full = sum(unit.layers for unit in self.walk.units if unit.stage == stage)
            layers += self._mean(used.loops, rows) * (full / loops)
        self.spent = self.spent + layers
        return prediction, layers

    def _walked(self, chain: Chain, rows: Tensor) -> Seen:
        """The rows at the end of a chain, from the longest part of it that they have walked."""
        for length in range(len(chain), -1, -1):
            begun = self._seen.get(Chain(chain.path[:length]))
            if begun is not None and (begun.place[rows] >= 0).all():
                break
        assert begun is not None
        if length == len(chain):
            return begun
        before, stand = None, begun.stand.take(begun.place[rows])
        place = torch.full((self.count,), -1)
        place[rows] = torch.arange(len(rows))
        for end in range(length, len(chain)):
            before, stand = stand, self.walk.advance(stand, chain.path[end])
            part = Chain(chain.path[: end + 1])
            known = self._seen.get(part)
            # other chains may go on from here
            if known is None or known.stand.count < len(rows) or part == chain:
                self._seen[part] = Seen(stand, place, before)
        self.spent[rows] += sum(self.walk.costs[position] for position in chain.path[length:])
        return self._seen[chain]

    def _mean(self, each: Tensor, rows: Tensor) -> Tensor:
        """(asked, time) to (asked,), over the real steps."""
        if self.lengths is None:
            return each.mean(1)
        lengths = self.lengths[rows]
        return (each * real_steps(lengths, each.shape[1])).sum(1) / lengths


class changed:
    """Options of some stages as they are set, inside; as they were, outside."""

    def __init__(self, walk: Walk, settings: Sequence[tuple[int, str, float]]) -> None:
        self.places = [(walk.model.stages[stage], name, value) for stage, name, value in settings]

    def __enter__(self) -> None:
        self.before = [getattr(stage, name) for stage, name, _ in self.places]
        for stage, name, value in self.places:
            setattr(stage, name, value)

    def __exit__(self, *fault: object) -> None:
        for (stage, name, _), value in zip(self.places, self.before, strict=True):
            setattr(stage, name, value)


def gap(prediction: Tensor) -> Tensor:
    """How far the likeliest class leads the second in probability, (..)."""
    if prediction.shape[-1] < 2:
        return torch.ones(prediction.shape[:-1])
    top = prediction.softmax(-1).topk(2, dim=-1).values
    return top[..., 0] - top[..., 1]


def certainty(prediction: Tensor) -> Tensor:
    """One minus the entropy as a share of the largest, (..)."""
    logs = prediction.log_softmax(-1)
    largest = torch.log(torch.tensor(float(max(prediction.shape[-1], 2))))
    return 1 + (logs.exp() * logs).sum(-1) / largest


def alike(one: Tensor, other: Tensor, classes: bool, tolerance: float) -> Tensor:
    """Whether two predictions (.., outputs) say the same."""
    if classes:
        return one.argmax(-1) == other.argmax(-1)
    return ((one - other).abs() <= tolerance).all(-1)
