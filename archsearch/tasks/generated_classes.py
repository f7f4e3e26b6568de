"""Generated tasks with one class per sequence, of sequences of different lengths."""

from __future__ import annotations

import zlib
from abc import abstractmethod
from collections.abc import Iterator

import numpy as np

from archsearch.tasks.generated import Classified, confident
from archsearch.tasks.metrics import accuracy, cross_entropy
from archsearch.tasks.task import Batch, Split

SPLITS: tuple[Split, ...] = ("validation", "test", *("train",) * 6)


class GeneratedClasses(Classified):
    """A task given by :meth:`sequence`; sequences are filled up with zeros behind their end.

    There are few short ones, so a sequence belongs to one split by what it is: of eight, one to
    validation, one to test and six to training.
    """

    _split: Split = "train"

    @abstractmethod
    def sequence(self, rng: np.random.Generator, length: int) -> tuple[np.ndarray, int]:
        """The tokens of one sequence of at most ``length`` steps, and its class."""

    def draw(
        self, rng: np.random.Generator, size: int, length: int
    ) -> tuple[np.ndarray, np.ndarray, None]:
        batch = self._batch(rng, size, length)
        return batch.inputs, batch.targets, None

    def _whole(self, split: Split) -> Iterator[Batch]:
        self._split = split
        try:
            # all at once: training batches may be drawn between two that are looked at
            whole = list(super()._whole(split))
        finally:
            self._split = "train"
        yield from whole

    def _own(self, rng: np.random.Generator, length: int) -> tuple[np.ndarray, int]:
        """The next sequence of the split that is being drawn."""
        while True:
            tokens, found = self.sequence(rng, length)
            if SPLITS[zlib.crc32(tokens.tobytes()) % len(SPLITS)] == self._split:
                return tokens, found

    def _batch(self, rng: np.random.Generator, size: int, length: int) -> Batch:
        inputs = np.zeros((size, length), dtype=np.int64)
        lengths, targets = np.empty(size, np.int64), np.empty(size, np.int64)
        for row in range(size):
            tokens, targets[row] = self._own(rng, length)
            lengths[row] = len(tokens)
            inputs[row, : len(tokens)] = tokens
        return Batch(inputs, lengths, targets, None)

    def score(self, predictions: list[np.ndarray], batches: list[Batch]) -> dict[str, float]:
        scores = {}
        for suffix, said, judged in self.by_length(predictions, batches):
            logits = np.concatenate(said)
            wanted = np.concatenate([batch.targets for batch in judged])
            scores["accuracy" + suffix] = accuracy(logits.argmax(-1), wanted)
            losses = cross_entropy(logits, wanted)
            scores["loss" + suffix] = float(losses.mean(dtype=np.float64))
        return scores

    def baselines(self, split: Split = "test") -> dict[str, dict[str, float]]:
        batches = list(self.evaluation(split))
        seen = np.concatenate([batch.targets for batch in self.evaluation("train")])
        counts = np.bincount(seen, minlength=self.choices)
        usual = np.log((counts + 1e-6) / counts.sum())
        said = {"majority": [np.tile(usual, (batch.size, 1)) for batch in batches]}
        for name, classes in self.shortcuts(batches).items():
            said[name] = [confident(guess, self.choices) for guess in classes]
        return {name: self.score(logits, batches) for name, logits in said.items()}

    @abstractmethod
    def shortcuts(self, batches: list[Batch]) -> dict[str, list[np.ndarray]]:
        """The classes (B,) that the task's own trivial predictors name, batch by batch."""
