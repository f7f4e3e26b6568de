"""The training loss that a task's signature implies, or that a head brings instead."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional

from archsearch.spec.signature import Signature
from archsearch.train.exits import has_exits, mean_loss
from archsearch.train.tensors import Tensors

Objective = Callable[[Tensor, Tensor], Tensor]


def model_loss(model: nn.Module, batch: Tensors, signature: Signature) -> Tensor:
    """What a training step lowers: how wrong the prediction is, and what depth costs; a scalar.

    A head with a method ``objective(prediction, targets)`` is trained by it, for (counted, outputs)
    and (counted,) or (counted, outputs). A stage that is trained on what each of its loops would
    answer makes it a mean over these; so do exits, of its gradient.
    """
    if has_exits(model):
        return mean_loss(model, batch, signature)
    prediction, penalty = model(batch.inputs, batch.lengths)
    objective: Objective | None = getattr(getattr(model, "head", None), "objective", None)
    total: Tensor = loss(prediction, batch, signature, objective) + penalty
    return total


def loss(
    prediction: Tensor, batch: Tensors, signature: Signature, objective: Objective | None = None
) -> Tensor:
    """The objective; else cross entropy in nats for classes, mean squared error for values.

    ``prediction`` is (batch, outputs), or (batch, time, outputs) with a target at every step;
    then the mean is over the steps that the mask counts.
    """
    targets = batch.targets
    if batch.mask is not None:
        prediction = prediction[batch.mask]  # (counted, outputs)
        targets = targets[batch.mask]  # (counted,) or (counted, outputs)
    if objective is not None:
        return objective(prediction, targets)
    if signature.targets == "class":
        return functional.cross_entropy(prediction, targets)
    return functional.mse_loss(prediction, targets)
