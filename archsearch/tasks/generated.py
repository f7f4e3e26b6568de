"""Tasks without a file: sequences are drawn on the spot, and the truth about them is known.

Training sequences come fresh from the training's generator. Every evaluation split has a random
stream of its own, fixed by the data seed, the split and the length, so it never moves.
"""

from __future__ import annotations

import hashlib
import zlib
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from archsearch.errors import DataError
from archsearch.spec.settings import Objective, fingerprint
from archsearch.spec.signature import Signature
from archsearch.tasks.metrics import judged_steps
from archsearch.tasks.task import Batch, Protocol, Split, Task

SHORTEST = 3
GROWING = 0.6


def stream(task: str, seed: int, split: Split, length: int) -> np.random.Generator:
    """The random stream of one evaluation split; different arguments give unrelated streams."""
    place = ("train", "validation", "test").index(split)
    key = (zlib.crc32(task.encode()), place, length)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def arrays_digest(*arrays: np.ndarray) -> str:
    """Names the content, type and shape of arrays."""
    found = hashlib.sha256()
    for array in arrays:
        found.update(f"{array.dtype.str}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


class Generated(Task):
    """A task given by :meth:`draw`; judged at ``length`` and, if asked, at ``test_length``."""

    kind = "generated"
    name: ClassVar[str]

    def __init__(self, options: Mapping[str, Any], protocol: Protocol = "search") -> None:
        self.options = dict(options)
        self.protocol = protocol
        self.length = int(options["length"])
        self.test_length: int | None = options.get("test_length")
        if self.test_length == self.length:
            raise DataError(
                f"{self.name}: test_length must differ from length, both are {self.length}"
            )
        self.signature = self.shapes()
        self.metrics = self.measured()

    @abstractmethod
    def shapes(self) -> Signature:
        """The signature, from the options."""

    @abstractmethod
    def measured(self) -> tuple[Objective, ...]:
        """The metrics, primary first."""

    @abstractmethod
    def draw(
        self, rng: np.random.Generator, size: int, length: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Inputs, targets and mask of ``size`` sequences of ``length`` steps."""

    @cached_property
    def fingerprint(self) -> str:  # type: ignore[override] # made when asked for: it is of all data
        seen = [
            arrays_digest(batch.inputs, batch.targets)
            for split in ("validation", "test")
            for batch in self.evaluation(split, size=1 << 30)
        ]
        return fingerprint({"task": self.name, "options": self.options, "data": seen})

    def batch(self, rng: np.random.Generator, size: int, progress: float) -> Batch:
        return self._batch(rng, size, self.training_length(progress))

    def training_length(self, progress: float) -> int:
        """Steps of a training sequence: 3 growing to ``length`` over the first 60 %, or length."""
        if self.options.get("curriculum", "none") == "none":
            return self.length
        part = min(1.0, max(0.0, progress) / GROWING)
        return round(SHORTEST + part * (self.length - SHORTEST))

    def evaluation(self, split: Split, size: int = 256) -> Iterator[Batch]:
        for whole in self._whole(split):
            for start in range(0, whole.size, size):
                part = slice(start, start + size)
                yield Batch(
                    whole.inputs[part],
                    whole.lengths[part],
                    whole.targets[part],
                    None if whole.mask is None else whole.mask[part],
                )

    def _whole(self, split: Split) -> Iterator[Batch]:
        lengths = [self.length] + ([self.test_length] if self.test_length else [])
        count = self.options["test_size" if split == "test" else "validation_size"]
        for length in lengths:
            rng = stream(self.name, self.options["data_seed"], split, length)
            yield self._batch(rng, count, length)

    def _batch(self, rng: np.random.Generator, size: int, length: int) -> Batch:
        inputs, targets, mask = self.draw(rng, size, length)
        return Batch(inputs, np.full(size, length, np.int64), targets, mask)

    def by_length(
        self, predictions: list[np.ndarray], batches: list[Batch]
    ) -> Iterator[tuple[str, list[np.ndarray], list[Batch]]]:
        """Predictions and batches at ``length``, then with the suffix ``_long`` the others."""
        pairs = list(zip(predictions, batches, strict=True))
        for suffix, length in (("", self.length), ("_long", self.test_length)):
            chosen = [pair for pair in pairs if pair[1].inputs.shape[1] == length]
            if chosen:
                yield suffix, [pair[0] for pair in chosen], [pair[1] for pair in chosen]

    def preparation(self) -> dict[str, Any]:
        return {"kind": self.kind, "task": self.name, "signature": self.signature.to_plain()}

    def describe(self) -> dict[str, Any]:
        return {
            "task": self.name,
            "data": "drawn on the spot",
            "train": "endless",
            "validation": self.options["validation_size"],
            "test": self.options["test_size"],
            "length": self.length,
            "test_length": self.test_length,
            "inputs": self.signature.channels,
            "outputs": self.signature.outputs,
            "notes": [],
        }


class Classified(Generated):
    """A generated task whose answers are classes: accuracy and cross entropy, at both lengths."""

    choices: int

    def measured(self) -> tuple[Objective, ...]:
        suffixes = ("", "_long") if self.test_length else ("",)
        return tuple(
            Objective(name + suffix, direction)  # type: ignore[arg-type]
            for suffix in suffixes
            for name, direction in (("accuracy", "max"), ("loss", "min"))
        )

    def chance(self) -> dict[str, float]:
        values = {"accuracy": 1 / self.choices, "loss": float(np.log(self.choices))}
        return {goal.metric: values[goal.metric.removesuffix("_long")] for goal in self.metrics}


class GeneratedSteps(Classified):
    """A generated task with one class per step, judged on the masked steps."""

    def score(self, predictions: list[np.ndarray], batches: list[Batch]) -> dict[str, float]:
        scores = {}
        for suffix, said, judged in self.by_length(predictions, batches):
            losses, right = judged_steps(said, judged)
            scores["accuracy" + suffix] = float(right.mean(dtype=np.float64))
            scores["loss" + suffix] = float(losses.mean(dtype=np.float64))
        return scores

    def baselines(self, split: Split = "test") -> dict[str, dict[str, float]]:
        batches = list(self.evaluation(split))
        seen = np.concatenate([b.targets[b.mask] for b in self.evaluation("train")])
        counts = np.bincount(seen, minlength=self.signature.outputs)
        usual = np.log((counts + 1e-6) / counts.sum())
        majority = [np.broadcast_to(usual, (*b.targets.shape, len(usual))) for b in batches]
        rules = {"majority": majority, **self.shortcuts(batches)}
        return {name: self.score(said, batches) for name, said in rules.items()}

    @abstractmethod
    def shortcuts(self, batches: list[Batch]) -> dict[str, list[np.ndarray]]:
        """Logits of the task's own trivial predictors, by name."""


def confident(said: np.ndarray, classes: int) -> np.ndarray:
    """Log probabilities (.., classes) that put nine tenths on the class said (..)."""
    rest = np.log(0.1 / (classes - 1))
    return np.where(np.arange(classes) == said[..., None], np.log(0.9), rest)
