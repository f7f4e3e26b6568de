"""Running parity: whether the bits so far hold an odd number of ones."""

from __future__ import annotations

import numpy as np

from archsearch.spec.signature import Signature
from archsearch.tasks.generated import GeneratedSteps, confident
from archsearch.tasks.task import Batch


class Parity(GeneratedSteps):
    """Fair bits in, their cumulative sum modulo 2 out, at every step."""

    name = "parity"
    choices = 2

    def shapes(self) -> Signature:
        return Signature("tokens", 2, "class", 2, every_step=True, length=self.length)

    def draw(
        self, rng: np.random.Generator, size: int, length: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        bits = rng.integers(0, 2, (size, length), dtype=np.int64)
        return bits, np.cumsum(bits, axis=1) % 2, np.ones((size, length), dtype=bool)

    def shortcuts(self, batches: list[Batch]) -> dict[str, list[np.ndarray]]:
        return {"last input": [confident(batch.inputs, 2) for batch in batches]}
