"""Regression: one number for every sequence of a file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from archsearch.errors import DataError
from archsearch.spec.settings import Objective
from archsearch.tasks.labelled import Labelled
from archsearch.tasks.metrics import mean_absolute_error, r2, root_mean_squared_error
from archsearch.tasks.scaling import moments
from archsearch.tasks.sequences import Sequences
from archsearch.tasks.task import Batch, Split
from archsearch.tasks.values import LARGEST

# up to here every whole number is a float64 of its own
EXACT = 2**53


class Regression(Labelled):
    """The model is trained on targets of mean 0 and deviation 1; metrics are in their own units."""

    name = "regression"
    metrics = (Objective("rmse", "min"), Objective("mae", "min"), Objective("r2", "max"))

    def encode(self, every: Sequences) -> np.ndarray:
        remedy = "; for classes use the task classification"
        numbers = numbers_of(np.asarray(every.labels), self.target, self.where, remedy)
        if np.abs(numbers).max() >= EXACT:
            self.notes.append(
                f"target '{self.target}' goes beyond 2^53, where float64 holds the first 16 digits "
                "of a whole number; subtract a constant where the last ones matter"
            )
        if (numbers == numbers[0]).all():
            self.notes.append(f"target '{self.target}' is constant, {numbers[0]:g}")
        return numbers

    def strata(self) -> None:
        return None

    def outputs(self) -> int:
        return 1

    def normalised_targets(self) -> np.ndarray:
        self.offset, self.scale = moments(self.answers[self.rows["train"]])
        return ((self.answers - self.offset) / self.scale).astype(np.float32)[:, None]

    def score(self, predictions: list[np.ndarray], batches: list[Batch]) -> dict[str, float]:
        put_out = np.concatenate(predictions)[:, 0].astype(np.float64)
        said = put_out * self.scale + self.offset
        wanted = self.answers[np.concatenate([batch.rows for batch in batches])]
        return {
            "rmse": root_mean_squared_error(said, wanted),
            "mae": mean_absolute_error(said, wanted),
            "r2": r2(said, wanted),
        }

    def chance(self) -> dict[str, float]:
        """Nothing explained; how large an error is then, only a split can tell."""
        return {"r2": 0.0}

    def baselines(self, split: Split = "test") -> dict[str, dict[str, float]]:
        train = self.answers[self.rows["train"]]
        batches = list(self.evaluation(split))
        scores = {}
        for name, value in (("mean", train.mean()), ("median", np.median(train))):
            constant = (value - self.offset) / self.scale
            scores[name] = self.score([np.full((b.size, 1), constant) for b in batches], batches)
        return scores

    def preparation(self) -> dict[str, Any]:
        return {**super().preparation(), "target_offset": self.offset, "target_scale": self.scale}

    def describe(self) -> dict[str, Any]:
        low, high = float(self.answers.min()), float(self.answers.max())
        return {**super().describe(), "target_range": [low, high]}


def numbers_of(labels: np.ndarray, target: object, where: object, remedy: str = "") -> np.ndarray:
    """The labels as float64; raises DataError at the first that is no number, or too large."""
    texts = pd.Series(labels)
    numbers = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64)
    wrong = np.flatnonzero(~(np.abs(numbers) <= LARGEST))
    if len(wrong):
        raise DataError(
            f"{where}: target '{target}' is not a number within {LARGEST:g} of 0 for sequence "
            f"{wrong[0] + 1}: '{str(texts.iloc[wrong[0]])[:40]}'{remedy}"
        )
    return numbers
