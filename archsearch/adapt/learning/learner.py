"""The contract of what learns at test time: predict, be told the truth, learn, forget."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from archsearch.adapt.chain import Chain
from archsearch.adapt.learning.nested import digest_of, tensors_of
from archsearch.adapt.learning.truth import Seen, checked, known_of, loss_of, nothing_of
from archsearch.adapt.steps import ChainSteps
from archsearch.adapt.walk import Walk
from archsearch.build import Model
from archsearch.errors import DataError, InputError, StateError
from archsearch.spec.signature import Signature

# by how much of its loss the export must be beaten before another answers
LEAD = 0.05


class Learner(ABC):
    """A model in a stream that goes on learning; the model is the learner's own from then on.

    :meth:`step` predicts, :meth:`observe` says what the truth of an earlier step was, and
    :meth:`update` learns from it, so that every prediction is made before its truth is known.
    Where the loss is not finite or would rise, the learner stays as it was, and ``refused`` counts
    it. ``frozen`` is what the export says of the latest step. It answers itself, which ``held``
    counts, until the learner's loss over about ``recent`` told steps is a twentieth below its own;
    with 0 the learner always answers. Truths may arrive
    up to ``window`` steps late.

    An implementation says how the learner's own prediction comes about (:meth:`_predict`), how it
    learns (:meth:`_learn`), how far that took it (:attr:`moved`), and what it remembers.
    With a ``chain`` the model is applied along it.
    """

    def __init__(
        self,
        model: Model,
        signature: Signature,
        *,
        window: int,
        recent: int,
        batch: int = 1,
        chain: Chain | None = None,
    ) -> None:
        if not model.causal:
            raise InputError(
                "learning: a cell sees the steps to come, so nothing is remembered of a stream "
                "that could be corrected; take a causal cell"
            )
        self.model, self.signature, self.batch = (
            model.eval().requires_grad_(False),
            signature,
            batch,
        )
        self.steps = model if chain is None else ChainSteps(Walk(model), chain)
        self.window, self._recent = window, recent
        self._seen: deque[Seen] = deque(maxlen=window)
        self._kept = [(name, value.clone()) for name, value in self._exported()]
        self._start()
        self._first = self.digest()

    @property
    def frozen(self) -> Tensor:
        """The export's prediction of the latest step, (batch, outputs)."""
        return self._seen[-1].frozen

    @property
    @abstractmethod
    def moved(self) -> float:
        """The distance from the export, as a share of the size of what may be moved."""

    @torch.no_grad()
    def step(self, x_t: Tensor) -> Tensor:
        """One time step, (batch, channels) or (batch,), to the prediction, (batch, outputs)."""
        said, frozen, before = self._predict(x_t)
        nothing = nothing_of(self.signature, self.batch)
        self._seen.append(Seen(x_t, before, said, frozen, nothing, known_of(nothing)))
        trusted = self._recent == 0 or self._ours < (1 - LEAD) * self._theirs
        self.held += not trusted
        return said if trusted else frozen

    @torch.no_grad()
    def observe(self, targets: Tensor, ago: int = 0) -> None:
        """The truth of the prediction ``ago`` steps before the latest.

        (batch, outputs) of numbers, NaN where not known yet, or (batch,) of classes. What is known
        already stays. A truth at which the loss is not finite is refused. Raises DataError for
        what the task has not, or is remembered no more.
        """
        if not 0 <= ago < len(self._seen):
            raise DataError(
                f"ago: expected a number below {len(self._seen)}, the steps that are "
                f"remembered, got {ago}"
            )
        seen, before = self._seen[-1 - ago], self._seen[-1 - ago].targets
        told = seen.tell(checked(self.signature, targets, self.batch))
        if not told.any():
            return
        ours, theirs = (
            float(loss_of([each], [seen.targets], [told])) for each in (seen.said, seen.frozen)
        )
        if not math.isfinite(ours):
            seen.targets, seen.fresh = before, seen.fresh & ~told
            self.refused += 1
        elif self._recent:
            keep = 1 - 1 / self._recent
            self._ours, self._theirs = keep * self._ours + ours, keep * self._theirs + theirs

    def update(self) -> bool:
        """Learn from what was told since; says whether anything was learned."""
        if not any(bool(seen.fresh.any()) for seen in self._seen):
            return False
        learned = self._learn(list(self._seen))
        for seen in self._seen:
            seen.fresh = torch.zeros_like(seen.fresh)
        self.updates += learned
        self.refused += not learned
        return learned

    @torch.no_grad()
    def begin(self) -> None:
        """Begin a new sequence; what the weights learned stays."""
        self._seen.clear()
        self._begin()

    @torch.no_grad()
    def forget(self) -> None:
        """Be the export again, before its first step, to the last bit.

        Raises StateError where something else changed the model.
        """
        for (_, value), (_, kept) in zip(self._exported(), self._kept, strict=True):
            value.copy_(kept)
        self._start()
        if self.digest() != self._first:
            raise StateError("learning: what was learned could not be taken back; export again")

    def digest(self) -> str:
        """A SHA-256 over all weights, buffers and states, and over what was learned."""
        states = [("state", value) for value in tensors_of(self._remembered())]
        return digest_of([*self._exported(), *states])

    def _start(self) -> None:
        self.updates = self.refused = self.held = 0
        self._ours = self._theirs = 0.0
        self._wipe()
        self.begin()

    def _exported(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.model.named_parameters()
        yield from self.model.named_buffers()

    @abstractmethod
    def _predict(self, x_t: Tensor) -> tuple[Tensor, Tensor, Any]:
        """What the learner and what the export says, and what it takes to say it again."""

    @abstractmethod
    def _learn(self, seen: list[Seen]) -> bool:
        """Take in what is fresh among the remembered steps; False leaves everything as it was."""

    @abstractmethod
    def _begin(self) -> None:
        """The states before the first step of a sequence."""

    @abstractmethod
    def _wipe(self) -> None:
        """Drop what was learned across sequences."""

    @abstractmethod
    def _remembered(self) -> Any:
        """States and what was learned, in nested tuples."""
