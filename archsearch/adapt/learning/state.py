"""Corrects the state of a stream by gradient descent on the errors that have come to light."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from archsearch.adapt.chain import Chain
from archsearch.adapt.learning.learner import Learner
from archsearch.adapt.learning.nested import (
    is_movable,
    mapped,
    movable,
    size_of,
    tensors_of,
    with_movable,
)
from archsearch.adapt.learning.truth import Seen, loss_of
from archsearch.build import Model
from archsearch.errors import InputError
from archsearch.spec.learnsettings import StateSettings
from archsearch.spec.signature import Signature

SHRINK = 0.5


class StateCorrection(Learner):
    """The weights stay; the state before the window is moved, and the window is read again.

    The loss of the window's known steps is a function of the state s before it. With the weights
    frozen, s takes steps -rate dL/ds, each halved until the loss falls, as in Otte, Karlbauer &
    Butz 2020, arXiv 2010.03958, but with the inputs read on. Only the states of the stages move,
    not those of the embedding and of the head's pool, which count.
    """

    _state: Any
    _export: Any

    def __init__(
        self,
        model: Model,
        signature: Signature,
        settings: StateSettings | None = None,
        *,
        batch: int = 1,
        chain: Chain | None = None,
    ) -> None:
        self.settings = settings or StateSettings()
        window, recent = self.settings.window, self.settings.recent
        super().__init__(model, signature, window=window, recent=recent, batch=batch, chain=chain)
        if not any(is_movable(tensor) for tensor in tensors_of(self._state[1])):
            raise InputError("learning: the network keeps no state; take --learn memory")

    @property
    def moved(self) -> float:
        here, there = movable(self._state[1]), movable(self._export[1])
        distance = size_of(a - b for a, b in zip(here, there, strict=True))
        return distance / max(size_of(there), torch.finfo(torch.float32).tiny)

    def window_loss(self, state: Any) -> Tensor:
        """The loss of the known steps of the window, read from this state before it; a scalar."""
        seen = list(self._seen)
        told = [place for place, each in enumerate(seen) if each.known.any()]
        _, predictions, _ = self._read(seen[: told[-1] + 1], state)
        return loss_of(
            [predictions[place] for place in told],
            [seen[place].targets for place in told],
            [seen[place].known for place in told],
            getattr(self.model.head, "objective", None),
        )

    def _learn(self, seen: list[Seen]) -> bool:
        anchor, exported = seen[0].before
        leaves, origin, changed = movable(anchor[1]), movable(exported[1]), False
        reach = self.settings.max_norm * size_of(movable(self._export[1]))
        for _ in range(self.settings.steps):
            loss, slope = self._slope(anchor, leaves)
            if slope is None:
                break
            found = self._descend(anchor, leaves, slope, loss, origin, reach)
            if found is None:
                break
            leaves, changed = found, True
        if changed:
            with torch.no_grad():
                self._rewrite(seen, _with_stages(anchor, leaves))
        return changed

    def _slope(self, anchor: Any, leaves: list[Tensor]) -> tuple[float, list[Tensor] | None]:
        """The loss and its gradient by the leaves; None where it is not finite or is flat."""
        with torch.enable_grad():
            free = [leaf.detach().requires_grad_() for leaf in leaves]
            loss = self.window_loss(_with_stages(anchor, free))
            if not loss.requires_grad or not loss.isfinite():
                return float(loss.detach()), None
            found = torch.autograd.grad(loss, free, allow_unused=True)
        slope = [
            torch.zeros_like(leaf) if part is None else part
            for leaf, part in zip(leaves, found, strict=True)
        ]
        steep = all(bool(part.isfinite().all()) for part in slope) and size_of(slope) > 0
        return float(loss.detach()), slope if steep else None

    @torch.no_grad()
    def _descend(
        self,
        anchor: Any,
        leaves: list[Tensor],
        slope: list[Tensor],
        loss: float,
        origin: list[Tensor],
        reach: float,
    ) -> list[Tensor] | None:
        """The leaves one step lower; None where no step of those tried is."""
        rate = self.settings.rate
        for _ in range(self.settings.halvings + 1):
            stepped = [a - rate * g for a, g in zip(leaves, slope, strict=True)]
            stepped = _within(stepped, origin, reach)
            # NaN is not below anything
            if float(self.window_loss(_with_stages(anchor, stepped))) < loss:
                return stepped
            rate *= SHRINK
        return None

    def _read(self, seen: list[Seen], state: Any) -> tuple[list[Any], list[Tensor], Any]:
        """The states before the steps, the predictions of the steps, and the state after them."""
        befores, predictions = [], []
        for each in seen:
            befores.append(state)
            prediction, state = self.steps.step(each.x, state)
            predictions.append(prediction)
        return befores, predictions, state

    def _rewrite(self, seen: list[Seen], anchor: Any) -> None:
        befores, _, self._state = self._read(seen, anchor)
        for each, before in zip(seen, befores, strict=True):
            each.before = before, each.before[1]

    def _predict(self, x_t: Tensor) -> tuple[Tensor, Tensor, Any]:
        before = self._state, self._export
        said, self._state = self.steps.step(x_t, self._state)
        frozen, self._export = self.steps.step(x_t, self._export)
        return said, frozen, before

    def _begin(self) -> None:
        self._state = mapped(torch.clone, self.steps.initial_state(self.batch))
        self._export = mapped(torch.clone, self._state)

    def _wipe(self) -> None:
        """Nothing is learned but the state."""

    def _remembered(self) -> Any:
        return self._state, self._export


def _with_stages(state: Any, leaves: list[Tensor]) -> Any:
    """The state of a model or of a chain with other movable tensors in its stages."""
    at_embed, at_stages, at_head = state
    return at_embed, with_movable(at_stages, leaves), at_head


def _within(leaves: list[Tensor], origin: list[Tensor], reach: float) -> list[Tensor]:
    """The leaves, pulled straight back to ``reach`` from the origin where they are beyond it."""
    # a running maximum starts at minus infinity, and stays there
    away = [(a - b).nan_to_num(0.0) for a, b in zip(leaves, origin, strict=True)]
    distance = size_of(away)
    if distance <= reach:
        return leaves
    return [b + d * (reach / distance) for b, d in zip(origin, away, strict=True)]
