"""The loss on batches that the training itself does not draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
from torch import Tensor, nn

from archsearch.tasks.task import Task
from archsearch.train.draws import undisturbed
from archsearch.train.judge import evaluating
from archsearch.train.loss import model_loss
from archsearch.train.tensors import device_of, tensors

PROBING = 17  # what the random numbers are for


def probing(model: nn.Module, task: Task, size: int, seed: int) -> Callable[[int], Tensor]:
    """The loss of the model as it is, in evaluation, on the k-th of some batches of training data.

    Neither the batches of the training nor the global random state are disturbed. Whoever watches
    what passes through the stages sees no padding.
    """

    def loss(number: int) -> Tensor:
        drawn = task.batch(np.random.default_rng([seed, PROBING, number]), size, 1.0)
        device = device_of(model)
        with undisturbed(device), evaluating(model), _cutting(model):
            return model_loss(model, tensors(drawn, device), task.signature)

    return loss


@contextmanager
def _cutting(model: nn.Module) -> Iterator[None]:
    """Inside, sequences are cut to their lengths, those of one length together."""
    before = getattr(model, "cuts", False)
    model.cuts = True
    try:
        yield
    finally:
        model.cuts = before
