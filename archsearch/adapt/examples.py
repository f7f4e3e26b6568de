"""Sequences with their answers, and how good a prediction of each is."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from archsearch.spec.signature import Signature

POSITIONS = 1 << 16


@dataclass(frozen=True)
class Examples:
    """``x`` (n, time, channels) or (n, time) of tokens, ``lengths`` (n,) or None.

    ``targets`` are (n,) or (n, time) of classes, (n, outputs) or (n, time, outputs) of values;
    ``mask`` (n, time) marks the steps that count, None where there is one target per sequence.
    """

    x: Tensor
    lengths: Tensor | None
    targets: Tensor
    mask: Tensor | None
    signature: Signature

    def __len__(self) -> int:
        return len(self.x)

    @property
    def classes(self) -> int | None:
        return self.signature.outputs if self.signature.targets == "class" else None

    def take(self, rows: Tensor | slice) -> Examples:
        def part(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor[rows]

        return replace(
            self,
            x=self.x[rows],
            lengths=part(self.lengths),
            targets=self.targets[rows],
            mask=part(self.mask),
        )

    def batches(self) -> Iterator[Examples]:
        """In order, in batches that fit into a small memory."""
        size = max(1, min(256, POSITIONS // self.x.shape[1]))
        for start in range(0, len(self), size):
            yield self.take(slice(start, start + size))

    def said(self, prediction: Tensor) -> Tensor:
        """The class that each sequence is answered with, (n,): the one at its last counted step."""
        return self.last(prediction).argmax(-1)

    def wanted(self) -> Tensor:
        """The class that each sequence should be answered with, (n,)."""
        return self.last(self.targets)

    def score(self, prediction: Tensor) -> Tensor:
        """(n,): the share of the counted steps answered right; minus the squared error of values.

        More is better.
        """
        if self.classes is None:
            return -self.mean((prediction - self.targets).square().mean(-1))
        return self.mean((prediction.argmax(-1) == self.targets).to(prediction.dtype))

    def margin(self, prediction: Tensor) -> Tensor:
        """(n,): how far the log probability of the right class leads that of the best other one.

        Minus the squared error of values. More is better.
        """
        if self.classes is None:
            return self.score(prediction)
        logs = prediction.log_softmax(-1)
        right = logs.gather(-1, self.targets.unsqueeze(-1))
        others = logs.scatter(-1, self.targets.unsqueeze(-1), -torch.inf)
        return self.mean((right.squeeze(-1) - others.amax(-1)).clamp(-50, 50))

    def last(self, each: Tensor) -> Tensor:
        """What stands at the last counted step, (n, ..); all of it where there are no steps."""
        if self.mask is None:
            return each
        steps = torch.arange(self.mask.shape[1], device=self.mask.device)
        rows = torch.arange(len(self.mask), device=self.mask.device)
        return each[rows, (self.mask * steps).argmax(1)]

    def mean(self, values: Tensor) -> Tensor:
        """Over the counted steps of each sequence, (n,)."""
        if self.mask is None:
            return values
        return (values * self.mask).sum(1) / self.mask.sum(1).clamp(min=1)


class Arrays(Protocol):
    """A batch of a task, as arrays."""

    @property
    def inputs(self) -> np.ndarray: ...

    @property
    def lengths(self) -> np.ndarray: ...

    @property
    def targets(self) -> np.ndarray: ...

    @property
    def mask(self) -> np.ndarray | None: ...


def examples_of(batches: Iterable[Arrays], signature: Signature) -> Examples:
    """All batches of a task as one, padded to the longest."""
    found = list(batches)
    time = max(batch.inputs.shape[1] for batch in found)

    def joined(arrays: list[np.ndarray], stepwise: bool) -> Tensor:
        if stepwise:
            room = [[(0, 0), (0, time - each.shape[1])] for each in arrays]
            arrays = [
                np.pad(each, [*part, *[(0, 0)] * (each.ndim - 2)])
                for each, part in zip(arrays, room, strict=True)
            ]
        return torch.from_numpy(np.concatenate(arrays))

    masks = [batch.mask for batch in found if batch.mask is not None]
    return Examples(
        joined([batch.inputs for batch in found], True),
        joined([batch.lengths for batch in found], False),
        joined([batch.targets for batch in found], signature.every_step),
        joined(masks, True) if masks else None,
        signature,
    )
