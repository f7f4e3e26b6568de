"""A task small enough to be learnt in a second, and a model whose every number is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.settings import Objective
from archsearch.spec.signature import Signature
from archsearch.tasks.task import Batch, Task


class SignTask(Task):
    """Is the sum of the first channel positive? Asked at the end or at every step."""

    kind = "toy"
    metrics = (Objective("accuracy", "max"), Objective("error", "min"))
    fingerprint = "toy"

    def __init__(self, every_step: bool = False, targets: str = "class", length: int = 7) -> None:
        outputs = 2 if targets == "class" else 1
        self.signature = Signature("values", 2, targets, outputs, every_step, length)
        self.asked: list[float] = []
        self.judged: list[str] = []
        self.poison: tuple[int, float] | None = None

    def draw(self, rng: np.random.Generator, size: int) -> Batch:
        lengths = rng.integers(1, self.signature.length + 1, size)
        inputs = rng.standard_normal((size, int(lengths.max()), 2)).astype(np.float32)
        inside = np.arange(inputs.shape[1])[None] < lengths[:, None]
        inputs *= inside[..., None]
        sums = inputs[..., 0].cumsum(1)  # (size, time)
        truth = sums if self.signature.every_step else sums[:, -1]
        if self.signature.targets == "class":
            targets = (truth > 0).astype(np.int64)
        else:
            targets = truth[..., None].astype(np.float32)
        mask = inside if self.signature.every_step else None
        return Batch(inputs, lengths.astype(np.int64), targets, mask)

    def batch(self, rng: np.random.Generator, size: int, progress: float) -> Batch:
        self.asked.append(progress)
        batch = self.draw(rng, size)
        if self.poison is not None and len(self.asked) == self.poison[0]:
            return replace(batch, inputs=np.full_like(batch.inputs, self.poison[1]))
        return batch

    def evaluation(self, split: str, size: int = 256) -> Iterator[Batch]:
        self.judged.append(split)
        whole = self.draw(np.random.default_rng(("train", "validation", "test").index(split)), 64)
        for begin in range(0, 64, size):
            rows = slice(begin, begin + size)
            mask = None if whole.mask is None else whole.mask[rows]
            yield Batch(whole.inputs[rows], whole.lengths[rows], whole.targets[rows], mask)

    def score(self, predictions: list[np.ndarray], batches: list[Batch]) -> dict[str, float]:
        right, wrong = 0, 0
        for prediction, batch in zip(predictions, batches, strict=True):
            said = prediction.argmax(-1) if self.signature.targets == "class" else prediction > 0
            meant = batch.targets if self.signature.targets == "class" else batch.targets > 0
            same = said == meant if batch.mask is None else (said == meant)[batch.mask]
            right, wrong = right + int(same.sum()), wrong + int((~same).sum())
        return {"accuracy": right / (right + wrong), "error": wrong / (right + wrong)}

    def chance(self) -> dict[str, float]:
        return {"accuracy": 0.5, "error": 0.5}

    def baselines(self, split: str = "test") -> dict[str, dict[str, float]]:
        return {}

    def preparation(self) -> dict[str, Any]:
        return {}

    def describe(self) -> dict[str, Any]:
        return {}


class Summing(nn.Module):
    """A linear map of the sum over time; ``dear`` is a number that the loss pays for squared."""

    def __init__(self, outputs: int = 2, dear: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((outputs, 2), 0.1))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.dear = nn.Parameter(torch.tensor(dear))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x.sum(1) @ self.weight.T + self.bias, self.dear**2

    def no_decay(self) -> frozenset[str]:
        return frozenset({"bias", "dear"})


def network(cell: str = "gru", width: int = 8, **options: Any) -> Architecture:
    return Architecture(width, (Stage((Block(Layer.of(cell, **options)),)),))
