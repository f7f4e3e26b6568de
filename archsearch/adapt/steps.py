"""A network applied along a chain step by step, where single steps may leave positions out."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archsearch.adapt.chain import Chain
from archsearch.adapt.walk import Part, Walk


class ChainSteps:
    """One chain, whole or in a stream; every place of the chain has a state of its own.

    ``on`` says which places are applied: (batch, places) in a step, (batch, time, places) for a
    whole sequence; None is all. What a place leaves out goes on unchanged, and is still read into
    its state (keys and values, the memory of a recurrence), so that later steps find it there: the
    propagation of Schuster et al. 2022, arXiv 2207.07061, section 3.2, for any cell. A place that
    no row of a batch applies costs only what its memory does.
    """

    def __init__(self, walk: Walk, chain: Chain) -> None:
        self.walk, self.chain = walk, chain
        self.places = [walk.units[position] for position in chain.path]

    def forward(self, x: Tensor, lengths: Tensor | None = None, on: Tensor | None = None) -> Tensor:
        """The prediction of whole sequences."""
        stand = self.walk.start(x, lengths)
        for place, position in enumerate(self.chain.path):
            after = self.walk.advance(stand, position)
            if on is not None:
                after = _mixed(after, stand, on[..., place])
            stand = after
        return self.walk.read(stand)

    def initial_state(self, batch: int) -> Any:
        model = self.walk.model
        if not model.causal:
            return ()
        states = tuple(unit.initial_state(batch) for unit in self.places)
        return model.embed.initial_state(batch), states, model.head.initial_state(batch)

    def step(self, x_t: Tensor, state: Any, on: Tensor | None = None) -> tuple[Tensor, Any]:
        """One time step to the prediction so far, (batch, outputs)."""
        model = self.walk.model
        if not model.causal:
            return self._anew(x_t, state, on)
        at_embed, at_places, at_head = state
        h, at_embed = model.embed.step(x_t, at_embed)
        first, stage, after = h, None, []
        for place, (unit, before) in enumerate(zip(self.places, at_places, strict=True)):
            first = h if unit.stage != stage else first
            stage = unit.stage
            if on is not None and not on[:, place].any():
                after.append(unit.advance(h, before, first))
                continue
            y, now = unit.step(h, before, first)
            h = y if on is None else torch.where(on[:, place, None], y, h)
            after.append(now)
        prediction, at_head = model.head.step(model.norm(h), at_head)
        return prediction, (at_embed, tuple(after), at_head)

    def _anew(self, x_t: Tensor, state: Any, on: Tensor | None) -> tuple[Tensor, Any]:
        """Where a cell sees the future, all steps so far are read again."""
        if on is None:
            on = torch.ones(len(x_t), len(self.places), dtype=torch.bool, device=x_t.device)
        seen, ons = state or (x_t[:, None][:, :0], on[:, None][:, :0])
        seen, ons = torch.cat([seen, x_t[:, None]], 1), torch.cat([ons, on[:, None]], 1)
        return self.forward(seen, on=ons), (seen, ons)


def _mixed(after: Any, before: Any, on: Tensor) -> Any:
    """The stand after a place where it is applied, before it elsewhere."""
    parts = []
    for new, old in zip(after.parts, before.parts, strict=True):
        here = on if new.rows is None else on[new.rows]
        here = here[:, : new.h.shape[1], None] if here.ndim == 2 else here[:, None, None]
        parts.append(Part(new.rows, torch.where(here, new.h, old.h), new.first))
    return type(after)(tuple(parts), after.stage, after.count, after.time, after.lengths)
