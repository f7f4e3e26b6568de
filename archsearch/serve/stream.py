"""Predictions of a bundle while a sequence is still coming in, one step at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from archsearch.errors import DataError
from archsearch.serve.bundle import Bundle
from archsearch.serve.predictor import as_answer, as_inputs, one_thread


class Stream:
    """One sequence, or ``batch`` of them in step, and what the model remembers of it."""

    def __init__(self, bundle: Bundle, batch: int | None = None) -> None:
        self.signature = bundle.signature
        self.steps = 0
        self._single = batch is None
        self._batch = 1 if batch is None else batch
        self._model = bundle.model()
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
            prediction, self._state = self._model.step(x, self._state)
        self.steps += 1
        answer = as_answer(self.signature, prediction)
        return answer[0] if self._single else answer

    def forget(self) -> None:
        """Begin a new sequence."""
        self._state = self._before()
        self.steps = 0

    def _before(self) -> Any:
        """The state before the first step."""
        with torch.inference_mode():
            return self._model.initial_state(self._batch)
