"""Multi-query associative recall: the value that was shown with a key, when the key comes again."""

from __future__ import annotations

import numpy as np

from archsearch.errors import DataError
from archsearch.spec.signature import Signature
from archsearch.tasks.generated import GeneratedSteps
from archsearch.tasks.task import Batch

POWER = 0.01


class MultiQueryRecall(GeneratedSteps):
    """Key value key value ..., then every key once more at an even place; the rest is symbol 0.

    Keys are 1 .. V/2 - 1 and values V/2 .. V - 1, distinct within a sequence. The place of each
    query is drawn without replacement with weight gap^(0.01 - 1), so mostly early. Judged at the
    queries alone. Zoology (arXiv 2312.04927), appendix on MQAR.
    """

    name = "mqar"

    def shapes(self) -> Signature:
        pairs, vocab = self.options["pairs"], self.options["vocab"]
        if vocab % 2 or vocab // 2 - 1 < pairs:
            raise DataError(
                f"mqar: vocab must be even and at least {2 * (pairs + 1)} for {pairs} pairs, "
                f"got {vocab}"
            )
        if self.length % 2 or self.length < 4 * pairs:
            raise DataError(
                f"mqar: length must be even and at least {4 * pairs} for {pairs} pairs, "
                f"got {self.length}"
            )
        self.pairs, self.vocab = pairs, vocab
        self.choices = vocab // 2
        return Signature("tokens", vocab, "class", vocab, every_step=True, length=self.length)

    def draw(
        self, rng: np.random.Generator, size: int, length: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pairs, half = self.pairs, self.vocab // 2
        keys = 1 + _distinct(rng, size, half - 1, pairs)
        values = half + _distinct(rng, size, half, pairs)
        inputs = np.zeros((size, length), dtype=np.int64)
        inputs[:, 0 : 2 * pairs : 2] = keys
        inputs[:, 1 : 2 * pairs : 2] = values
        # weighted draws without replacement: the largest log weight + Gumbel noise win
        gaps = np.arange(1, (length - 2 * pairs) // 2 + 1, dtype=np.float64)
        noisy = (POWER - 1) * np.log(gaps) + rng.gumbel(size=(size, len(gaps)))
        places = 2 * pairs + 2 * np.argsort(-noisy, axis=1, kind="stable")[:, :pairs]
        rows = np.arange(size)[:, None]
        targets = np.zeros_like(inputs)
        mask = np.zeros(inputs.shape, dtype=bool)
        inputs[rows, places], targets[rows, places], mask[rows, places] = keys, values, True
        return inputs, targets, mask

    def shortcuts(self, batches: list[Batch]) -> dict[str, list[np.ndarray]]:
        return {"any value of the context": [self._context(batch.inputs) for batch in batches]}

    def _context(self, inputs: np.ndarray) -> np.ndarray:
        shown = np.full((len(inputs), self.vocab), 1e-6)
        rows = np.arange(len(inputs))[:, None]
        shown[rows, inputs[:, 1 : 2 * self.pairs : 2]] = 1 / self.pairs
        return np.broadcast_to(np.log(shown)[:, None], (*inputs.shape, self.vocab))


def _distinct(rng: np.random.Generator, size: int, population: int, count: int) -> np.ndarray:
    """(size, count) whole numbers below ``population``, distinct within a row, in random order."""
    return np.argsort(rng.random((size, population)), axis=1, kind="stable")[:, :count]
