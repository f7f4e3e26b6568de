"""Classification: one class for every sequence of a file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from archsearch.errors import DataError
from archsearch.spec.settings import Objective
from archsearch.tasks.columns import some
from archsearch.tasks.labelled import Labelled
from archsearch.tasks.metrics import accuracy, balanced_accuracy, cross_entropy
from archsearch.tasks.sequences import Sequences
from archsearch.tasks.task import Batch, Split

MOST_CLASSES = 1000


class Classification(Labelled):
    """Classes are all labels of the data, test included, sorted; numbers by size."""

    name = "classification"
    metrics = (
        Objective("accuracy", "max"),
        Objective("balanced_accuracy", "max"),
        Objective("loss", "min"),
    )

    def encode(self, every: Sequences) -> np.ndarray:
        labels = np.asarray(every.labels)
        self.classes, codes = class_positions(labels)
        if len(self.classes) < 2:
            raise DataError(
                f"{self.where}: target '{self.target}' has one class, "
                f"'{str(self.classes[0])[:40]}'; two are needed"
            )
        if len(self.classes) > max(2, len(labels) / 2):
            raise DataError(
                f"{self.where}: target '{self.target}' has {len(self.classes)} different values "
                f"in {len(labels)} sequences; name another column with 'target', or use the task "
                "regression if it is a number to predict"
            )
        counts = np.bincount(codes)
        if len(self.classes) > MOST_CLASSES:
            raise DataError(
                f"{self.where}: target '{self.target}' has {len(self.classes)} classes, at most "
                f"{MOST_CLASSES} are told apart; name another column with 'target'"
            )
        single = [str(self.classes[place]) for place in np.flatnonzero(counts == 1)]
        if single:
            self.notes.append(f"classes with a single sequence: {some(single)}")
        return codes

    def strata(self) -> np.ndarray:
        return self.answers

    def outputs(self) -> int:
        return len(self.classes)

    def normalised_targets(self) -> np.ndarray:
        return self.answers

    def score(self, predictions: list[np.ndarray], batches: list[Batch]) -> dict[str, float]:
        targets = np.concatenate([batch.targets for batch in batches])
        said = np.concatenate([logits.argmax(axis=-1) for logits in predictions])
        losses = [
            cross_entropy(logits, batch.targets)
            for logits, batch in zip(predictions, batches, strict=True)
        ]
        return {
            "accuracy": accuracy(said, targets),
            "balanced_accuracy": balanced_accuracy(said, targets, len(self.classes)),
            "loss": float(np.concatenate(losses).mean(dtype=np.float64)),
        }

    def chance(self) -> dict[str, float]:
        part = 1 / len(self.classes)
        return {"accuracy": part, "balanced_accuracy": part, "loss": -float(np.log(part))}

    def baselines(self, split: Split = "test") -> dict[str, dict[str, float]]:
        counts = np.bincount(self.answers[self.rows["train"]], minlength=len(self.classes))
        # one more of each class, so that one unseen in training is not impossible
        usual = np.log((counts + 1) / (counts + 1).sum())
        batches = list(self.evaluation(split))
        said = [np.broadcast_to(usual, (batch.size, len(usual))) for batch in batches]
        return {"majority": self.score(said, batches)}

    def preparation(self) -> dict[str, Any]:
        return {**super().preparation(), "classes": list(self.classes)}

    def describe(self) -> dict[str, Any]:
        facts = super().describe()
        counts = np.bincount(self.answers, minlength=len(self.classes))
        shares = {str(label): int(n) for label, n in zip(self.classes, counts, strict=True)}
        strange = sorted(
            set(self.answers[self.rows["test"]]) - set(self.answers[self.rows["train"]])
        )
        if strange:
            names = some([str(self.classes[place]) for place in strange])
            facts["notes"].append(f"classes of the test split that training never shows: {names}")
        return {**facts, "classes": shares}


def class_positions(labels: np.ndarray) -> tuple[list[int | float | str], np.ndarray]:
    """The distinct labels in order, and for each label its place among them.

    Labels that are all numbers, also as texts, are ordered by size and whole ones are ints; texts
    like 007 stay texts.
    """
    found, distinct = pd.factorize(np.asarray(labels))
    texts = pd.Series(distinct).astype(str)
    numbers = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64)
    names: list[int | float | str]
    if texts.str.fullmatch(r"-?(0|[1-9]\d*)").all():
        # not as float64, which cannot tell large ones apart
        whole_numbers = np.array([int(text) for text in texts], dtype=object)
        exact, places = np.unique(whole_numbers, return_inverse=True)
        names = list(exact)
    elif np.isfinite(numbers).all() and not texts.str.fullmatch(r"0\d+").any():
        values, places = np.unique(numbers, return_inverse=True)
        whole = bool((values == np.round(values)).all() and (np.abs(values) < 2**53).all())
        names = [int(value) if whole else float(value) for value in values]
    else:
        words, places = np.unique(texts.to_numpy(dtype=str), return_inverse=True)
        names = [str(word) for word in words]
    return names, places[found].astype(np.int64)
