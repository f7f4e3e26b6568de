"""Predictions of a bundle while a sequence is still coming in, one step at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archsearch.adapt.policies.stream_view import StreamView
from archsearch.adapt.policies.view import WholeView
from archsearch.errors import DataError
from archsearch.serve.bundle import Bundle
from archsearch.serve.knob import set_knob
from archsearch.serve.predictor import as_answer, as_inputs, one_thread


class Stream:
    """One sequence, or ``batch`` of them in step, and what the model remembers of it.

    ``compute`` and ``uncertified`` are as in the predictor, and answers are still the predictor's
    for the steps so far: layers that a step did without are applied to it once a later step needs
    them. ``applied`` is the mean share of layers per step up to now.
    """

    def __init__(
        self,
        bundle: Bundle,
        batch: int | None = None,
        compute: float | None = None,
        *,
        uncertified: bool = False,
    ) -> None:
        self.signature = bundle.signature
        self.steps = 0
        self._single = batch is None
        self._batch = 1 if batch is None else batch
        self._model = bundle.model()
        self.knob = None if compute is None else set_knob(bundle, self._model, compute, uncertified)
        self._state = self._before()

    def push(self, x_t: NDArray[np.generic] | float) -> NDArray[np.float32]:
        """The answer after one more step, (outputs,), or (batch, outputs) for several streams.

        ``x_t`` is (channels,) of numbers or one token; (batch, channels) or (batch,) for several.
        The answer is what the predictor gives for the steps so far (its last step where there is
        a target at every step). Raises DataError, and remembers nothing of the step, where the
        model does not take it.
        """
        array = np.asarray(x_t)
        x = as_inputs(self.signature, array[None] if self._single else array, steps=1)
        if len(x) != self._batch:
            raise DataError(f"inputs: expected {self._batch} streams, got {len(x)}")
        with torch.inference_mode(), one_thread():
            prediction = self._step(x)
        self.steps += 1
        answer = as_answer(self.signature, prediction)
        return answer[0] if self._single else answer

    @property
    def applied(self) -> float | None:
        if self.knob is None or not self.steps:
            return None
        spent = self._state.spent if self._model.causal else self._spent
        return float(spent.mean()) / (max(self.knob.walk.full, 1) * self.steps)

    def forget(self) -> None:
        """Begin a new sequence."""
        self._state = self._before()
        self.steps = 0

    def _before(self) -> Any:
        """The state before the first step."""
        self._spent = torch.zeros(self._batch)
        with torch.inference_mode():
            if self.knob is None or not self._model.causal:
                return self._model.initial_state(self._batch)
            chains, every_step = self.knob.adapted.policy.chains, self.signature.every_step
            return StreamView(self.knob.walk, self._batch, chains, self._classes, every_step)

    def _step(self, x: Tensor) -> Tensor:
        """The prediction after one more step."""
        if self.knob is None:
            prediction, self._state = self._model.step(x, self._state)
            return prediction
        if self._model.causal:
            self._state.push(x)
            return self.knob.decide(self._state).prediction
        # where a cell sees the future, all steps so far are read again
        seen = torch.cat([*self._state, x.unsqueeze(1)], 1)
        self._state = (seen,)
        decision = self.knob.decide(WholeView(self.knob.walk, seen, None, self._classes))
        self._spent = self._spent + decision.layers
        return decision.prediction

    @property
    def _classes(self) -> bool:
        return self.signature.targets == "class"
