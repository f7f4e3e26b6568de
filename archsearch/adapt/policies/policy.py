"""The contract of a policy: how much of the network each input gets, decided without labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from archsearch.adapt.chain import Chain
from archsearch.adapt.policies.view import View


@dataclass(frozen=True)
class Decision:
    """``prediction`` (rows, ..) and ``layers`` (rows,), those applied to get it.

    ``chains`` are what the rows were answered by, None where no chain says it.
    """

    prediction: Tensor
    layers: Tensor
    chains: tuple[Chain, ...] | None


class Policy(ABC):
    """One knob with ``settings`` places, from 0, the network as it is, to the cheapest.

    A policy is frozen plain data. It owes: setting 0 answers as the network does; a row's answer
    does not depend on the others; the same view and setting give the same decision; what it says
    in a stream is what it says of the whole sequence so far. ``archsearch.testing.policies`` checks
    it. ``chains`` are all that it may ask a view about.
    """

    name: ClassVar[str]

    @property
    @abstractmethod
    def settings(self) -> int:
        """How many places the knob has."""

    @property
    @abstractmethod
    def chains(self) -> tuple[Chain, ...]:
        """All chains that it may look at beside the plain one."""

    @abstractmethod
    def decide(self, view: View, setting: int) -> Decision:
        """The answers of all rows at a place of the knob."""

    @abstractmethod
    def to_plain(self) -> dict[str, Any]:
        """Everything but its name, as what JSON can hold."""


class ChainPolicy(Policy):
    """A policy that chooses a chain for each row."""

    @abstractmethod
    def choose(self, view: View, setting: int) -> list[Chain]:
        """A chain for each row; ``setting`` is above zero."""

    def decide(self, view: View, setting: int) -> Decision:
        chains = [view.walk.plain] * view.count
        if setting:
            chains = self.choose(view, setting)
        prediction: Tensor | None = None
        for chain in dict.fromkeys(chains):
            rows = torch.tensor([row for row, own in enumerate(chains) if own == chain])
            answer = view.answer(chain, rows)
            if prediction is None:
                prediction = answer.new_zeros(view.count, *answer.shape[1:])
            prediction[rows] = answer
        assert prediction is not None
        return Decision(prediction, view.spent.clone(), tuple(chains))
