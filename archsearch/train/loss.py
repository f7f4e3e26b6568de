"""The training loss that a task's signature implies."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from archsearch.spec.signature import Signature
from archsearch.train.tensors import Tensors


def loss(prediction: Tensor, batch: Tensors, signature: Signature) -> Tensor:
    """Cross entropy in nats for classes, mean squared error for values; a scalar.

    ``prediction`` is (batch, outputs), or (batch, time, outputs) with a target at every step;
    then the mean is over the steps that the mask counts.
    """
    targets = batch.targets
    if batch.mask is not None:
        prediction = prediction[batch.mask]  # (counted, outputs)
        targets = targets[batch.mask]  # (counted,) or (counted, outputs)
    if signature.targets == "class":
        return functional.cross_entropy(prediction, targets)
    return functional.mse_loss(prediction, targets)
