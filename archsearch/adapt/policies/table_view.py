"""A batch that is asked about at many places of a knob: everything is computed once."""

from __future__ import annotations

import torch
from torch import Tensor

from archsearch.adapt.chain import Chain
from archsearch.adapt.policies.view import Seen, WholeView
from archsearch.adapt.walk import Walk


class TableView(WholeView):
    """Answers and charges as a new view of whole sequences does after each :meth:`again`.

    Whoever asks about some rows makes all rows be computed, but only those are charged for it.
    """

    def __init__(self, walk: Walk, x: Tensor, lengths: Tensor | None, classes: bool) -> None:
        super().__init__(walk, x, lengths, classes)
        self._every = torch.arange(self.count)
        self._paid: dict[tuple[int, ...], Tensor] = {}

    def again(self) -> TableView:
        """Nothing is paid for any more."""
        self.spent = torch.zeros(self.count)
        self._paid = {}
        return self

    def answer(self, chain: Chain, rows: Tensor) -> Tensor:
        self._charge(chain, rows)
        return super().answer(chain, rows)

    def _walked(self, chain: Chain, rows: Tensor) -> Seen:
        self._charge(chain, rows)
        spent = self.spent.clone()
        seen = super()._walked(chain, self._every)
        self.spent = spent
        return seen

    def _charge(self, chain: Chain, rows: Tensor) -> None:
        """Each row pays for each part of a chain the first time that it is asked about."""
        for end, position in enumerate(chain.path, start=1):
            path = chain.path[:end]
            if path not in self._paid:
                self._paid[path] = torch.zeros(self.count, dtype=torch.bool)
            new = rows[~self._paid[path][rows]]
            self.spent[new] += self.walk.costs[position]
            self._paid[path][new] = True
