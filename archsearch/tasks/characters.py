"""Characters: the next character of a text, at every step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from archsearch.errors import DataError
from archsearch.spec.settings import Objective, fingerprint
from archsearch.spec.signature import Signature
from archsearch.tasks.files import UTF_8, encoding_of, not_text, require_file
from archsearch.tasks.metrics import judged_steps
from archsearch.tasks.source import files_digest
from archsearch.tasks.task import Batch, Protocol, Split, Task

UNKNOWN = 0


class Characters(Task):
    """The start of the text is train, the part after it validation, the end test.

    Symbols are the characters of the training part, by code point, after symbol 0 for any other.
    Evaluation windows follow one another and overlap by ``warmup`` characters, which are read but
    not judged again, so that every character of a split but its first is judged exactly once.
    """

    kind = "text"
    name = "tokens"
    metrics = (
        Objective("bits_per_character", "min"),
        Objective("accuracy", "max"),
        Objective("loss", "min"),
    )

    def __init__(self, options: Mapping[str, Any], protocol: Protocol = "search") -> None:
        self.options = dict(options)
        self.where = str(options["data"])
        self.context, self.warmup = int(options["context"]), int(options.get("warmup", 0))
        if self.warmup >= self.context:
            raise DataError(
                f"{self.where}: warmup must be below context, got {self.warmup} and {self.context}"
            )
        path = Path(self.where)
        points = code_points(read_text(path), path)
        held, judged = options["test_fraction"], options["validation_fraction"]
        if held + judged >= 1:
            raise DataError(
                f"{self.where}: validation_fraction + test_fraction is {held + judged:g}; "
                "nothing is left to train on"
            )
        test = int(len(points) * (1 - held) + 1e-9)
        validation = int(len(points) * (1 - held - judged) + 1e-9)
        spans = {"train": (0, validation), "validation": (validation, test)}
        spans["test"] = (test, len(points))
        for split, (first, last) in spans.items():
            fewest = self.context + 1 if split == "train" else 2
            if last - first < fewest:
                raise DataError(
                    f"{self.where}: {len(points)} characters leave {last - first} for the {split} "
                    f"split; {fewest} are needed"
                )
        # of train alone under both protocols, so that a model has the same outputs
        self.alphabet = np.unique(points[:validation])
        self.symbols = symbols_of(points, self.alphabet)
        self.spans: dict[str, tuple[int, int]] = spans
        if protocol == "confirm":
            self.spans["train"] = (0, test)
        count = len(self.alphabet) + 1
        self.signature = self.shapes(count)
        settings = {key: value for key, value in self.options.items() if key != "data"}
        self.fingerprint = fingerprint(
            {"task": self.name, "options": settings, "data": files_digest([path])}
        )

    def shapes(self, symbols: int) -> Signature:
        return Signature("tokens", symbols, "class", symbols, every_step=True, length=self.context)

    def batch(self, rng: np.random.Generator, size: int, progress: float) -> Batch:
        first, last = self.spans["train"]
        starts = rng.integers(first, last - self.context, size)
        return self._windows(starts, np.ones((size, self.context), dtype=bool))

    def evaluation(self, split: Split, size: int = 256) -> Iterator[Batch]:
        first, last = self.spans[split]
        last = min(last, first + 1 + self.options["judged"])
        windows, masks = windows_over(first, last, self.context, self.warmup)
        for start in range(0, len(windows), size):
            part = slice(start, start + size)
            yield self._windows(windows[part], masks[part])

    def score(self, predictions: list[np.ndarray], batches: list[Batch]) -> dict[str, float]:
        losses, right = judged_steps(predictions, batches)
        return scores(losses, right)

    def chance(self) -> dict[str, float]:
        count = self.signature.outputs
        loss = float(np.log(count))
        return {"bits_per_character": loss / float(np.log(2)), "accuracy": 1 / count, "loss": loss}

    def baselines(self, split: Split = "test") -> dict[str, dict[str, float]]:
        """Relative frequencies of a character, alone or after the one before it; one added to each
        count of the unigram, and the unigram mixed in with the weight of one observation.
        """
        first, last = self.spans["train"]
        train, count = self.symbols[first:last], self.signature.outputs
        unigram = np.bincount(train, minlength=count) + 1.0
        unigram /= unigram.sum()
        chosen = [(b.inputs[b.mask], b.targets[b.mask]) for b in self.evaluation(split)]
        before, wanted = (np.concatenate(parts) for parts in zip(*chosen, strict=True))
        # pairs as numbers: an alphabet of thousands squared would not fit into memory
        pairs, seen = np.unique(train[:-1] * count + train[1:], return_counts=True)
        asked = before * count + wanted
        places = np.minimum(np.searchsorted(pairs, asked), len(pairs) - 1)
        often = np.where(pairs[places] == asked, seen[places], 0)
        total = np.bincount(train[:-1], minlength=count)
        chosen_next = np.full(count, unigram.argmax())
        rising = np.lexsort((-pairs, seen + unigram[pairs % count]))
        chosen_next[pairs[rising] // count] = pairs[rising] % count
        return {
            "unigram": scores(-np.log(unigram[wanted]), unigram.argmax() == wanted),
            "bigram": scores(
                -np.log((often + unigram[wanted]) / (total[before] + 1)),
                chosen_next[before] == wanted,
            ),
        }

    def preparation(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "task": self.name,
            "signature": self.signature.to_plain(),
            "alphabet": "".join(map(chr, self.alphabet)),
            "context": self.context,
            "warmup": self.warmup,
        }

    def describe(self) -> dict[str, Any]:
        first, last = self.spans["test"]
        strange = int(np.count_nonzero(self.symbols[first:last] == UNKNOWN))
        notes = [f"{strange} characters of the test split do not occur in train"] if strange else []
        return {
            "task": self.name,
            "data": self.where,
            **{split: last - first for split, (first, last) in self.spans.items()},
            "context": self.context,
            "inputs": self.signature.channels,
            "outputs": self.signature.outputs,
            "notes": notes,
        }

    def _windows(self, starts: np.ndarray, mask: np.ndarray) -> Batch:
        # a window at the end of the text is filled up with symbol 0, masked
        places = np.minimum(starts[:, None] + np.arange(self.context + 1), len(self.symbols) - 1)
        window = self.symbols[places]
        lengths = np.minimum(len(self.symbols) - 1 - starts, self.context)
        inside = np.arange(self.context) < lengths[:, None]
        inputs, targets = np.where(inside, window[:, :-1], 0), np.where(inside, window[:, 1:], 0)
        return Batch(inputs, lengths.astype(np.int64), targets, mask, starts)


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 with a byte order mark; raises DataError."""
    require_file(path)
    encoding = encoding_of(path)
    try:
        text = path.read_text(encoding=encoding)
    except UnicodeDecodeError as error:
        if encoding != UTF_8:
            raise not_text(path) from None
        raise DataError(
            f"{path}: is not text in UTF-8, see byte {error.start + 1}; save it in UTF-8"
        ) from None
    if "\0" in text:
        raise DataError(f"{path}: is binary, not text")
    return text


def code_points(text: str, path: Path) -> np.ndarray:
    """One number per character."""
    try:
        return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    except UnicodeEncodeError as error:
        raise DataError(f"{path}: is not text in UTF-8, see character {error.start + 1}") from None


def symbols_of(points: np.ndarray, alphabet: np.ndarray) -> np.ndarray:
    """Places in the sorted alphabet plus one, 0 for characters it does not have; int64."""
    places = np.minimum(np.searchsorted(alphabet, points), len(alphabet) - 1)
    return np.where(alphabet[places] == points, places + 1, UNKNOWN).astype(np.int64)


def windows_over(first: int, last: int, context: int, warmup: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows (W,) that read [first, last) and masks (W, context) under which every character but
    the first is judged once: window i predicts characters starts[i] + 1 to starts[i] + context.
    """
    starts = np.arange(first, max(last - 1 - warmup, first + 1), context - warmup)
    steps = np.arange(context)
    predicted = starts[:, None] + 1 + steps
    mask = (predicted < last) & ((steps >= warmup) | (starts == first)[:, None])
    return starts, mask


def scores(losses: np.ndarray, right: np.ndarray) -> dict[str, float]:
    loss = float(losses.mean(dtype=np.float64))
    return {
        "bits_per_character": loss / float(np.log(2)),
        "accuracy": float(right.mean(dtype=np.float64)),
        "loss": loss,
    }
