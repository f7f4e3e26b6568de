"""A task's batch of arrays as tensors on the device of a model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from archsearch.tasks.task import Batch


@dataclass(frozen=True)
class Tensors:
    """Shapes as in :class:`archsearch.tasks.task.Batch`."""

    inputs: Tensor
    lengths: Tensor
    targets: Tensor
    mask: Tensor | None


def tensors(batch: Batch, device: torch.device) -> Tensors:
    return Tensors(
        inputs=torch.from_numpy(batch.inputs).to(device),
        lengths=torch.from_numpy(batch.lengths).to(device),
        targets=torch.from_numpy(batch.targets).to(device),
        mask=None if batch.mask is None else torch.from_numpy(batch.mask).to(device),
    )


def device_of(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
