"""Sudoku: the digits that are missing in a grid, all of them told by those that are shown."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from archsearch.errors import DataError
from archsearch.spec.settings import Objective
from archsearch.spec.signature import Signature
from archsearch.tasks.generated import GeneratedSteps
from archsearch.tasks.generated_classes import SPLITS
from archsearch.tasks.metrics import judged_steps
from archsearch.tasks.sudoku_grids import moved, peers, puzzle
from archsearch.tasks.task import Batch, Protocol, Split

# puzzles that are made of each split; any number of others follow by symmetry
MADE = {"train": 128, "validation": 32, "test": 32}


class Sudoku(GeneratedSteps):
    """A puzzle's cells row by row, then the same again, when each empty one is to be told.

    A symbol is a digit or 0 for an empty cell, a class a digit less one. The second time all of
    the puzzle has been seen, so that causal cells can answer. Each puzzle has one solution. A split
    has puzzles of its own, of which others are made by symmetry; by what it is, a puzzle is of one
    split only. After Palm et al. 2018, arXiv 1711.08028, with grids of ``box`` ** 4 cells.
    """

    name = "sudoku"
    _split: Split = "train"

    def __init__(self, options: Mapping[str, Any], protocol: Protocol = "search") -> None:
        cells = options["box"] ** 4
        self._kept: dict[Split, list[Batch]] = {}
        self._made: dict[Split, list[tuple[np.ndarray, np.ndarray]]] = {}
        super().__init__({**options, "length": 2 * cells, "test_length": None}, protocol)

    def shapes(self) -> Signature:
        self.box: int = self.options["box"]
        self.choices = self.box**2
        if self.options["givens"] >= self.box**4:
            raise DataError(
                f"sudoku: givens must be below the {self.box**4} cells, got"
                f" {self.options['givens']}"
            )
        return Signature(
            "tokens", self.choices + 1, "class", self.choices, every_step=True, length=self.length
        )

    def measured(self) -> tuple[Objective, ...]:
        return (*super().measured(), Objective("solved", "max"))

    def chance(self) -> dict[str, float]:
        return {"accuracy": 1 / self.choices, "loss": float(np.log(self.choices)), "solved": 0.0}

    def draw(
        self, rng: np.random.Generator, size: int, length: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pairs = [self._own(rng) for _ in range(size)]
        shown = np.array([shown for shown, _ in pairs], np.int64)
        solved = np.array([solution for _, solution in pairs], np.int64)
        targets, mask = np.zeros((size, length), np.int64), np.zeros((size, length), bool)
        targets[:, length // 2 :] = solved - 1
        mask[:, length // 2 :] = shown == 0
        return np.tile(shown, (1, 2)), targets, mask

    def score(self, predictions: list[np.ndarray], batches: list[Batch]) -> dict[str, float]:
        losses, right = judged_steps(predictions, batches)
        solved = []
        for said, batch in zip(predictions, batches, strict=True):
            assert batch.mask is not None
            solved.append(((said.argmax(-1) == batch.targets) | ~batch.mask).all(1))
        return {
            "accuracy": float(right.mean(dtype=np.float64)),
            "loss": float(losses.mean(dtype=np.float64)),
            "solved": float(np.concatenate(solved).mean(dtype=np.float64)),
        }

    def shortcuts(self, batches: list[Batch]) -> dict[str, list[np.ndarray]]:
        return {"any digit that no peer shows": [self._possible(batch) for batch in batches]}

    def _whole(self, split: Split) -> Iterator[Batch]:
        if split not in self._kept:
            self._split = split
            try:
                # all at once: training batches may be drawn between two that are looked at
                self._kept[split] = list(super()._whole(split))
            finally:
                self._split = "train"
        yield from self._kept[split]

    def _own(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """The next puzzle of the split that is being drawn, and its solution."""
        made = self._puzzles()
        while True:
            shown, solution = made[rng.integers(len(made))]
            more = rng.integers(self.options["hints"] + 1)
            hidden = rng.permutation(np.flatnonzero(shown == 0))[:more]
            shown = shown.copy()
            shown[hidden] = solution[hidden]
            cells, digits = moved(rng, self.box)
            shown, solution = digits[shown[cells]], digits[solution[cells]]
            place = zlib.crc32(shown.tobytes()) % len(SPLITS)
            if SPLITS[place] == self._split and not shown.all():
                return shown, solution

    def _puzzles(self) -> list[tuple[np.ndarray, np.ndarray]]:
        if self._split not in self._made:
            place = ("train", "validation", "test").index(self._split)
            seed = np.random.SeedSequence(self.options["data_seed"], spawn_key=(place,))
            rng = np.random.default_rng(seed)
            self._made[self._split] = [
                puzzle(rng, self.box, self.options["givens"]) for _ in range(MADE[self._split])
            ]
        return self._made[self._split]

    def _possible(self, batch: Batch) -> np.ndarray:
        """Log probabilities (B, T, digits), even over what the digits shown leave."""
        half = self.length // 2
        shown = batch.inputs[:, :half, None] == np.arange(1, self.choices + 1)  # (B, cells, digits)
        taken = np.einsum("ij,bjd->bid", peers(self.box).astype(np.int64), shown) > 0
        shares = np.where(taken, 1e-6, 1.0)
        said = np.log(shares / shares.sum(-1, keepdims=True))
        return np.concatenate([np.zeros_like(said), said], 1)
