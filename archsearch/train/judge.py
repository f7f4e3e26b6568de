"""How good a model is on one split of its task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from archsearch.tasks.task import Batch, Split, Task
from archsearch.train.tensors import device_of, tensors


def judge(model: nn.Module, task: Task, split: Split) -> dict[str, float]:
    """The task's metrics on a split; the whole split is run, in the task's own batches."""
    predictions: list[np.ndarray] = []
    batches: list[Batch] = []
    with evaluating(model), torch.inference_mode():
        for batch in task.evaluation(split):
            moved = tensors(batch, device_of(model))
            prediction, _ = model(moved.inputs, moved.lengths)
            predictions.append(prediction.cpu().numpy())
            batches.append(batch)
    return task.score(predictions, batches)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode inside, and as it was outside."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
