"""A memory beside the head that is written by surprise, with momentum and forgetting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from archsearch.adapt.chain import Chain
from archsearch.adapt.learning.adapter import Reading
from archsearch.adapt.learning.learner import Learner
from archsearch.adapt.learning.nested import mapped, size_of
from archsearch.adapt.learning.truth import Seen, loss_of
from archsearch.build import Model
from archsearch.errors import InputError
from archsearch.spec.learnsettings import MemorySettings
from archsearch.spec.signature import Signature

Fast = dict[str, Tensor]
JUDGES = 8


class MemoryUpdate(Learner):
    """S_t = eta S_{t-1} - theta_t grad, M_t = (1 - alpha) M_{t-1} + S_t; read with the export + M.

    Equations 9 to 13 of Behrouz, Zhong & Mirrokni 2024, arXiv 2501.00663, with the task's loss in
    place of the associative one, and constant gates. There keys have length one; here the gradient
    is divided by one plus their squared length instead, so theta_t = rate / (1 + |k_t|^2), k_t what
    the head reads, a mean over the steps that are learned from. M is the difference from the
    export, so forgetting leads back to it, and nothing is ever written into the export itself. A
    step that raises the loss of the latest eight known steps is tried again without momentum, as in
    the restarts of O'Donoghue & Candes 2015, arXiv 1204.3982, and then refused.
    """

    _state: Any
    _head_state: Any
    _memory: Fast
    _surprise: Fast
    _active: bool

    def __init__(
        self,
        model: Model,
        signature: Signature,
        settings: MemorySettings | None = None,
        *,
        batch: int = 1,
        chain: Chain | None = None,
    ) -> None:
        self.settings = settings or MemorySettings()
        self._features: list[Tensor] = []
        model.norm.register_forward_hook(self._keep_features)
        width = _width_read(model, signature, self._features)
        self._reading = Reading(model.head, width, self.settings.rank, self.settings.where)
        self._slow = dict(self._reading.fast())
        if not self._slow:
            raise InputError("learning: the head has no weights; take where=adapter")
        self._size = size_of(self._reading.head.parameters()) or 1.0
        window, recent = self.settings.window, self.settings.recent
        super().__init__(model, signature, window=window, recent=recent, batch=batch, chain=chain)

    @property
    def memory(self) -> Mapping[str, Tensor]:
        """M by the names of the weights that it is added to."""
        return self._memory

    @property
    def moved(self) -> float:
        return size_of(self._memory.values()) / self._size

    def _learn(self, seen: list[Seen]) -> bool:
        fresh = [each for each in seen if bool(each.fresh.any())]
        slope = self._slope(fresh)
        if slope is None:
            return False
        judges = [each for each in seen if bool(each.known.any())][-JUDGES:]
        with torch.no_grad():
            loss = float(self._loss(judges, self._memory))
        keys = [each.before[0].square().sum(-1).mean() for each in fresh]
        theta = self.settings.rate / (1 + float(torch.stack(keys).mean()))
        for momentum in dict.fromkeys((self.settings.momentum, 0.0)):
            surprise = {
                name: momentum * self._surprise[name] - theta * part for name, part in slope.items()
            }
            memory = self._bounded(
                {
                    name: (1 - self.settings.forget) * self._memory[name] + part
                    for name, part in surprise.items()
                }
            )
            with torch.no_grad():
                after = float(self._loss(judges, memory))
            # NaN is not below anything
            if after <= loss:
                self._memory, self._surprise, self._active = memory, surprise, True
                return True
        return False

    def _slope(self, fresh: list[Seen]) -> Fast | None:
        """The gradient by M of the loss of what is fresh; None where it is not finite."""
        with torch.enable_grad():
            free = {name: part.detach().requires_grad_() for name, part in self._memory.items()}
            loss = self._loss(fresh, free, fresh=True)
            found = torch.autograd.grad(loss, list(free.values()), allow_unused=True)
        slope = {
            name: torch.zeros_like(part) if grad is None else grad
            for (name, part), grad in zip(free.items(), found, strict=True)
        }
        finite = all(bool(part.isfinite().all()) for part in slope.values())
        return slope if finite else None

    def _loss(
        self, seen: list[Seen], memory: Mapping[str, Tensor], *, fresh: bool = False
    ) -> Tensor:
        """The loss at a memory of all that is known of these steps, or of what is fresh."""
        weights = self._with(memory)
        return loss_of(
            [self._answer(weights, *each.before)[0] for each in seen],
            [each.targets for each in seen],
            [each.fresh if fresh else each.known for each in seen],
            getattr(self.model.head, "objective", None),
        )

    def _with(self, memory: Mapping[str, Tensor]) -> Fast:
        return {name: slow + memory[name] for name, slow in self._slow.items()}

    def _answer(self, weights: Fast, features: Tensor, state: Any) -> tuple[Tensor, Any]:
        found: tuple[Tensor, Any] = functional_call(self._reading, weights, (features, state))
        return found

    def _bounded(self, memory: Fast) -> Fast:
        reach, length = self.settings.max_norm * self._size, size_of(memory.values())
        if length <= reach:
            return memory
        return {name: part * (reach / length) for name, part in memory.items()}

    def _keep_features(self, _: nn.Module, __: Any, features: Tensor) -> None:
        self._features[:] = [features]

    def _predict(self, x_t: Tensor) -> tuple[Tensor, Tensor, Any]:
        frozen, self._state = self.steps.step(x_t, self._state)
        before = self._features[0], self._head_state
        if not self._active:
            # before anything was learned the answer is the export's own
            self._head_state = self._state[2]
            return frozen, frozen, before
        said, self._head_state = self._answer(self._with(self._memory), *before)
        return said, frozen, before

    def _begin(self) -> None:
        self._state = mapped(torch.clone, self.steps.initial_state(self.batch))
        self._head_state = self._state[2]

    def _wipe(self) -> None:
        self._memory = {name: torch.zeros_like(slow) for name, slow in self._slow.items()}
        self._surprise = dict(self._memory)
        self._active = False

    def _remembered(self) -> Any:
        return self._state, self._head_state, self._memory, self._surprise


@torch.no_grad()
def _width_read(model: Model, signature: Signature, features: list[Tensor]) -> int:
    """How many numbers per step the head reads, which a step of zeros tells."""
    zeros = torch.zeros(1, dtype=torch.int64)
    if signature.inputs == "values":
        zeros = next(model.parameters(), torch.zeros(())).new_zeros(1, signature.channels)
    model.eval().step(zeros, model.initial_state(1))
    return features[0].shape[-1]
