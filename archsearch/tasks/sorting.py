"""Sorting: where the smallest of some numbers stood, then the next, up to the largest."""

from __future__ import annotations

import numpy as np

from archsearch.errors import DataError
from archsearch.spec.signature import Signature
from archsearch.tasks.generated import GeneratedSteps, confident
from archsearch.tasks.task import Batch


class Sorting(GeneratedSteps):
    """The first half of the steps shows n numbers from 0 to 1, the second asks for their order.

    The second channel is zero in the first half; in the second it asks for the i-th smallest by
    i / n. A class is the position of a number, counted from 0, and there are as many as the longest
    sequence needs. After Vinyals et al. 2015, arXiv 1511.06391.
    """

    name = "sorting"

    def shapes(self) -> Signature:
        for key in ("length", "test_length"):
            given = self.options.get(key)
            if given is not None and (given % 2 or given < 4):
                raise DataError(f"sorting: {key} must be even and at least 4, got {given}")
        longest = max(self.length, self.test_length or 0)
        return Signature("values", 2, "class", longest // 2, every_step=True, length=self.length)

    def draw(
        self, rng: np.random.Generator, size: int, length: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        count = length // 2
        numbers = rng.random((size, count), dtype=np.float32)
        inputs = np.zeros((size, length, 2), np.float32)
        inputs[:, :count, 0] = numbers
        inputs[:, count:, 1] = np.arange(1, count + 1) / count
        targets = np.zeros((size, length), np.int64)
        # equal numbers stay in the order shown
        targets[:, count:] = np.argsort(numbers, axis=1, kind="stable")
        mask = np.zeros((size, length), bool)
        mask[:, count:] = True
        return inputs, targets, mask

    def chance(self) -> dict[str, float]:
        values = {}
        for goal in self.metrics:
            length = self.test_length if goal.metric.endswith("_long") else self.length
            count = (length or 0) // 2
            loss = goal.metric.startswith("loss")
            values[goal.metric] = float(np.log(count)) if loss else 1 / count
        return values

    def shortcuts(self, batches: list[Batch]) -> dict[str, list[np.ndarray]]:
        return {"in the order shown": [self._shown(batch) for batch in batches]}

    def _shown(self, batch: Batch) -> np.ndarray:
        places = np.arange(batch.inputs.shape[1]) % (batch.inputs.shape[1] // 2)
        said = np.broadcast_to(places, batch.inputs.shape[:2])
        return confident(said, self.signature.outputs)
