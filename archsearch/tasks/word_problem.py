"""The word problem of a finite group: the product so far of random elements."""

from __future__ import annotations

import numpy as np

from archsearch.spec.signature import Signature
from archsearch.tasks.generated import GeneratedSteps, confident
from archsearch.tasks.groups import multiplication_table
from archsearch.tasks.task import Batch


class WordProblem(GeneratedSteps):
    """Uniform elements x_1, x_2, ... in; y_t = y_(t-1) * x_t out at every step, y_1 = x_1."""

    name = "word_problem"

    def shapes(self) -> Signature:
        self.table = multiplication_table(self.options["group"])
        self.choices = order = len(self.table)
        return Signature("tokens", order, "class", order, every_step=True, length=self.length)

    def draw(
        self, rng: np.random.Generator, size: int, length: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        word = rng.integers(0, self.choices, (size, length), dtype=np.int64)
        product = np.empty_like(word)
        product[:, 0] = word[:, 0]
        for step in range(1, length):
            product[:, step] = self.table[product[:, step - 1], word[:, step]]
        return word, product, np.ones((size, length), dtype=bool)

    def shortcuts(self, batches: list[Batch]) -> dict[str, list[np.ndarray]]:
        return {"last input": [confident(batch.inputs, self.choices) for batch in batches]}
