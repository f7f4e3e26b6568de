"""Predictions of a bundle for whole sequences, in batches."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from archsearch.adapt.policies.view import WholeView
from archsearch.errors import DataError
from archsearch.serve.bundle import Bundle
from archsearch.serve.knob import set_knob
from archsearch.spec.signature import Signature

POSITIONS = 1 << 16


class Predictor:
    """Holds the model of a bundle; answers in probabilities for classes, else in values.

    Values are on the scale that the model was trained on; ``bundle.preparation`` says how to turn
    them back.
    """

    def __init__(
        self,
        bundle: Bundle,
        batch: int = 256,
        compute: float | None = None,
        *,
        uncertified: bool = False,
    ) -> None:
        """``compute`` is the share of the network's layers that may be applied on average.

        None applies it as it is. Raises InputError for a share that the bundle's policy does not
        reach, or that is not certified unless ``uncertified``, and where it knows no policy.
        """
        self.signature = bundle.signature
        self.batch = batch
        self._model = bundle.model()
        self.knob = None if compute is None else set_knob(bundle, self._model, compute, uncertified)
        self._applied: list[float] = []

    @property
    def applied(self) -> float | None:
        """The mean share of layers that the latest call applied; None without ``compute``."""
        return float(np.mean(self._applied)) if self._applied else None

    def predict(
        self, inputs: NDArray[np.generic], lengths: NDArray[np.integer] | None = None
    ) -> NDArray[np.float32]:
        """(batch, outputs), or (batch, time, outputs) where there is a target at every step.

        ``inputs`` is (batch, time, channels) of numbers or (batch, time) of tokens, padded at the
        end to one length; ``lengths`` (batch,) counts the steps that are real. Steps beyond a
        length are NaN in the answer. Raises DataError for inputs that the model does not take.
        """
        signature = self.signature
        x = as_inputs(signature, inputs, steps=2)
        count, time = x.shape[:2]
        if time == 0:
            raise DataError("inputs: expected at least one time step")
        real = _as_lengths(lengths, count, time)
        shape = (count, time) if signature.every_step else (count,)
        answers = np.empty((*shape, signature.outputs), dtype=np.float32)
        self._applied = []
        rows = max(1, min(self.batch, POSITIONS // time))
        with torch.inference_mode(), one_thread():
            for start in range(0, count, rows):
                part = slice(start, start + rows)
                answers[part] = self._answer(x[part], None if real is None else real[part])
        return answers

    def _answer(self, x: Tensor, lengths: Tensor | None) -> NDArray[np.float32]:
        if self.knob is None:
            prediction, _ = self._model(x, lengths)
        else:
            view = WholeView(self.knob.walk, x, lengths, self.signature.targets == "class")
            decision = self.knob.decide(view)
            prediction = decision.prediction
            self._applied += (decision.layers / max(self.knob.walk.full, 1)).tolist()
        answer = as_answer(self.signature, prediction)
        if lengths is not None and self.signature.every_step:
            steps = np.arange(answer.shape[1])
            answer[steps >= lengths.numpy()[:, None]] = np.nan
        return answer


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread, which is faster for networks of this size, and reproducible."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def as_inputs(signature: Signature, inputs: NDArray[np.generic], steps: int) -> Tensor:
    """The inputs as the tensor that the model takes; ``steps`` leading dimensions come first."""
    array = np.asarray(inputs)
    if signature.inputs == "tokens":
        if array.ndim != steps or array.dtype.kind not in "iu":
            raise DataError(
                f"inputs: expected whole numbers in {steps} dimensions, "
                f"got {array.dtype} {array.shape}"
            )
        if array.size and not (array.min() >= 0 and array.max() < signature.channels):
            raise DataError(f"inputs: expected tokens from 0 to {signature.channels - 1}")
        return torch.from_numpy(array.astype(np.int64))
    if array.ndim != steps + 1 or array.shape[-1] != signature.channels:
        raise DataError(
            f"inputs: expected {steps + 1} dimensions, the last of {signature.channels} channels, "
            f"got {array.shape}"
        )
    if array.dtype.kind not in "iuf":
        raise DataError(f"inputs: expected numbers, got {array.dtype}")
    with np.errstate(over="ignore"):
        values = array.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError("inputs: expected finite numbers, got NaN or infinity")
    return torch.from_numpy(values)


def as_answer(signature: Signature, prediction: Tensor) -> NDArray[np.float32]:
    """Probabilities over classes, or values."""
    if signature.targets == "class":
        prediction = prediction.softmax(dim=-1)
    return prediction.float().numpy().copy()


def _as_lengths(lengths: NDArray[np.integer] | None, count: int, time: int) -> Tensor | None:
    if lengths is None:
        return None
    array = np.asarray(lengths)
    if array.shape != (count,) or array.dtype.kind not in "iu":
        raise DataError(f"lengths: expected {count} whole numbers, got {array.dtype} {array.shape}")
    if count and not (array.min() >= 1 and array.max() <= time):
        raise DataError(f"lengths: expected numbers from 1 to {time}")
    return torch.from_numpy(array.astype(np.int64))
