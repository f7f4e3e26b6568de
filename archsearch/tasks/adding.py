"""The adding problem: the sum of the two marked numbers of a sequence."""

from __future__ import annotations

import numpy as np

from archsearch.spec.settings import Objective
from archsearch.spec.signature import Signature
from archsearch.tasks.generated import Generated
from archsearch.tasks.metrics import mean_squared_error
from archsearch.tasks.task import Batch, Split


class Adding(Generated):
    """Channel 0 uniform on [0, 1), channel 1 a marker, once in each half; their sum at the end.

    The target is not normalised, so the training loss is the metric. Answering 1 scores 1/6.
    """

    name = "adding"

    def shapes(self) -> Signature:
        return Signature("values", 2, "value", 1, every_step=False, length=self.length)

    def measured(self) -> tuple[Objective, ...]:
        names = ("mse", "mse_long") if self.test_length else ("mse",)
        return tuple(Objective(name, "min") for name in names)

    def draw(
        self, rng: np.random.Generator, size: int, length: int
    ) -> tuple[np.ndarray, np.ndarray, None]:
        rows = np.arange(size)
        inputs = np.zeros((size, length, 2), dtype=np.float32)
        inputs[..., 0] = rng.random((size, length), dtype=np.float32)
        first = rng.integers(0, length // 2, size)
        second = rng.integers(length // 2, length, size)
        inputs[rows, first, 1] = inputs[rows, second, 1] = 1.0
        targets = inputs[rows, first, 0] + inputs[rows, second, 0]
        return inputs, targets[:, None], None

    def score(self, predictions: list[np.ndarray], batches: list[Batch]) -> dict[str, float]:
        scores = {}
        for suffix, said, judged in self.by_length(predictions, batches):
            wanted = np.concatenate([batch.targets for batch in judged]).astype(np.float64)
            scores["mse" + suffix] = mean_squared_error(np.concatenate(said), wanted)
        return scores

    def chance(self) -> dict[str, float]:
        return {goal.metric: 1 / 6 for goal in self.metrics}

    def baselines(self, split: Split = "test") -> dict[str, dict[str, float]]:
        batches = list(self.evaluation(split))
        return {"always 1": self.score([np.ones_like(b.targets) for b in batches], batches)}
