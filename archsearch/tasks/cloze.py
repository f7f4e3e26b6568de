"""Cloze: one item of a regular sequence is hidden, and is to be told from those on both sides."""

from __future__ import annotations

import numpy as np

from archsearch.errors import DataError
from archsearch.spec.settings import Objective
from archsearch.spec.signature import Signature
from archsearch.tasks.generated import Generated, confident
from archsearch.tasks.metrics import cross_entropy
from archsearch.tasks.task import Batch, Split


class Cloze(Generated):
    """Items x, x + s, x + 2 s, .. modulo V, with a start and a stride of each sequence's own.

    The one asked for is any with equal chance and shows symbol V; each other is lost with
    probability ``lost`` and shows symbol V + 1. Every cell may be used, as the whole sequence is
    read before the answer. After the objective of BERT4Rec (Sun et al. 2019, arXiv 1904.06690).
    """

    name = "cloze"

    def shapes(self) -> Signature:
        self.vocab, self.strides = self.options["vocab"], self.options["strides"]
        if self.strides >= self.vocab:
            raise DataError(
                f"cloze: strides must be below vocab, got {self.strides} and {self.vocab}"
            )
        return Signature(
            "tokens", self.vocab + 2, "class", self.vocab, every_step=False, length=self.length
        )

    def measured(self) -> tuple[Objective, ...]:
        suffixes = ("", "_long") if self.test_length else ("",)
        return tuple(
            Objective(name + suffix, direction)  # type: ignore[arg-type]
            for suffix in suffixes
            for name, direction in (("accuracy", "max"), ("loss", "min"))
        )

    def draw(
        self, rng: np.random.Generator, size: int, length: int
    ) -> tuple[np.ndarray, np.ndarray, None]:
        start = rng.integers(0, self.vocab, (size, 1), dtype=np.int64)
        stride = rng.integers(1, self.strides + 1, (size, 1), dtype=np.int64)
        items = (start + stride * np.arange(length)) % self.vocab
        rows, asked = np.arange(size), rng.integers(0, length, size)
        lost = rng.random((size, length)) < self.options["lost"]
        inputs = np.where(lost, self.vocab + 1, items)
        inputs[rows, asked] = self.vocab
        return inputs, items[rows, asked], None

    def score(self, predictions: list[np.ndarray], batches: list[Batch]) -> dict[str, float]:
        scores = {}
        for suffix, said, judged in self.by_length(predictions, batches):
            logits = np.concatenate(said)
            wanted = np.concatenate([batch.targets for batch in judged])
            right = logits.argmax(axis=-1) == wanted
            scores["accuracy" + suffix] = float(right.mean(dtype=np.float64))
            scores["loss" + suffix] = float(cross_entropy(logits, wanted).mean(dtype=np.float64))
        return scores

    def chance(self) -> dict[str, float]:
        values = {"accuracy": 1 / self.vocab, "loss": float(np.log(self.vocab))}
        return {goal.metric: values[goal.metric.removesuffix("_long")] for goal in self.metrics}

    def baselines(self, split: Split = "test") -> dict[str, dict[str, float]]:
        batches = list(self.evaluation(split))
        said = [confident(self._after(batch.inputs), self.vocab) for batch in batches]
        return {"one more than the item before": self.score(said, batches)}

    def _after(self, inputs: np.ndarray) -> np.ndarray:
        """(B,): one more than what stands before the item asked for, or 0 where nothing does."""
        asked = (inputs == self.vocab).argmax(axis=1)
        before = inputs[np.arange(len(inputs)), np.maximum(asked - 1, 0)]
        return np.where(before < self.vocab, (before + 1) % self.vocab, 0)
