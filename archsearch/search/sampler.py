"""Who is next: the contract that every sampler keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from archsearch.spec.settings import Constraint, Objective
from archsearch.spec.space import Space
from archsearch.spec.trial import Point, Trial


class Sampler(ABC):
    """Proposes points of a space; its only memory is the history that it is shown.

    Owed: :meth:`propose` is a pure function of (space, objectives, constraints, seed, options)
    and of its arguments, so that a fresh process shown the same history proposes the same point.
    The history only grows from call to call, so what was learnt of it may be kept; a shorter or
    another history must be noticed and learnt from the start. Only trials whose state is
    ``COMPLETE`` have values; no value that is not finite may be learnt. A point of the history
    that does not lie in the space is passed over.
    """

    def __init__(
        self,
        space: Space,
        objectives: Sequence[Objective],
        constraints: Sequence[Constraint],
        seed: int,
    ) -> None:
        if not objectives:
            raise ValueError("a sampler needs at least one objective")
        self.space = space
        self.objectives = tuple(objectives)
        self.constraints = tuple(constraints)
        self.seed = seed

    @abstractmethod
    def propose(self, index: int, history: Sequence[Trial], attempt: int = 0) -> Point:
        """The point for trial ``index``; another ``attempt`` is another draw for the same trial."""
