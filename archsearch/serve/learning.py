"""A bundle's model that goes on learning while it predicts a stream, and forgets on demand."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from archsearch.adapt.learning.open import open_learner
from archsearch.errors import InputError
from archsearch.serve.bundle import Bundle
from archsearch.serve.predictor import as_answer, as_inputs, one_thread
from archsearch.spec.learnsettings import Settings, settings_of


class LearningStream:
    """One sequence, as :class:`archsearch.serve.stream.Stream`, whose truths arrive later.

    ``learn`` is "state", "memory", or settings of one. :meth:`push` answers, :meth:`tell` says what
    was true of an earlier answer, and :meth:`learn` learns from what was told. Where learning fails
    or would raise the error, everything stays as it was, which ``refused`` counts; until learning
    clearly did better of late the export answers, which ``held`` counts. ``moved`` is the distance
    from the export, 0 before anything was learned.
    """

    def __init__(self, bundle: Bundle, learn: str | Settings = "memory") -> None:
        settings = settings_of(learn) if isinstance(learn, str) else learn
        self.signature, self.settings = bundle.signature, settings
        self.steps = 0
        if bundle.signature.whole:
            raise InputError("learning: answers of this model read the steps after them")
        with one_thread():
            self._learner = open_learner(bundle.model(), bundle.signature, settings)

    def push(self, x_t: NDArray[np.generic] | float) -> NDArray[np.float32]:
        """The answer after one more step, (outputs,); DataError where the model does not take it.

        ``x_t`` is (channels,) of numbers or one token.
        """
        x = as_inputs(self.signature, np.asarray(x_t)[None], steps=1)
        with one_thread():
            said = self._learner.step(x)
        self.steps += 1
        answer: NDArray[np.float32] = as_answer(self.signature, said)[0]
        return answer

    def tell(self, targets: NDArray[np.generic] | float, ago: int = 0) -> None:
        """The truth of the answer ``ago`` steps before the latest.

        (outputs,) of numbers on the scale of the answers, NaN where not known yet, or one class.
        Raises DataError for what the task has not, or what is remembered no more.
        """
        array = np.asarray(targets)
        if self.signature.targets == "value":
            array = array.astype(np.float32)
        self._learner.observe(torch.from_numpy(np.array(array[None])), ago)

    def learn(self) -> bool:
        """Learn from what was told since; says whether anything was learned."""
        with one_thread():
            return self._learner.update()

    def begin(self) -> None:
        """Begin a new sequence; what a memory learned stays."""
        self._learner.begin()
        self.steps = 0

    def forget(self) -> None:
        """Be the export again, to the last bit; StateError where that cannot be."""
        self._learner.forget()
        self.steps = 0

    @property
    def frozen(self) -> NDArray[np.float32]:
        """What the export says of the latest step."""
        answer: NDArray[np.float32] = as_answer(self.signature, self._learner.frozen)[0]
        return answer

    @property
    def moved(self) -> float:
        return self._learner.moved

    @property
    def updates(self) -> int:
        return self._learner.updates

    @property
    def refused(self) -> int:
        return self._learner.refused

    @property
    def held(self) -> int:
        return self._learner.held

    @property
    def remembered(self) -> int:
        """Of how many latest steps the truth may still be told."""
        return self._learner.window

    @property
    def digest(self) -> str:
        """A SHA-256 over weights, states and what was learned."""
        return self._learner.digest()
