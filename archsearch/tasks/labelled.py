"""Sequences with one answer each, from the user's file: splits, normalisation and batches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import numpy as np

from archsearch.errors import DataError
from archsearch.spec.settings import fingerprint
from archsearch.spec.signature import Signature
from archsearch.tasks.columns import some
from archsearch.tasks.scaling import Scaler
from archsearch.tasks.sequences import Sequences, joined
from archsearch.tasks.source import read_source
from archsearch.tasks.splits import hold_out
from archsearch.tasks.task import Batch, Protocol, Split, Task

FEWEST = 8
FEWEST_BESIDE_TEST = 4
# times the usual length from which on a sequence is worth a note
LOPSIDED = 10


class Labelled(Task):
    """What classification and regression share; a subclass encodes and judges the answers.

    ``answers`` are the targets of all sequences in their original units (class positions, or
    float64); ``trained`` are the same in the units the model is trained in.
    """

    kind = "sequences"
    name: ClassVar[str]

    def __init__(self, options: Mapping[str, Any], protocol: Protocol = "search") -> None:
        self.options = dict(options)
        source = read_source(options)
        self.roles = source.roles
        self.where = str(options["data"])
        self.target = source.roles.target if source.roles else "y"
        every = joined(source.sequences, source.test) if source.test else source.sequences
        self.notes = list(source.roles.notes) if source.roles else []
        self._require_enough(len(source.sequences), len(every))
        self.answers = self.encode(every)
        self.rows = self._split(len(source.sequences), len(every))
        development = np.concatenate([self.rows["train"], self.rows["validation"]])
        if protocol == "confirm":
            self.rows["train"] = np.sort(development)
        self.scaler = self._fit(every, development)
        self.inputs = self.scaler.apply(every.values, every.starts)  # (all steps, channels)
        self.starts, self.lengths = every.starts, every.lengths
        self.trained = self.normalised_targets()
        self.signature = Signature(
            "values",
            self.scaler.channels,
            "class" if self.outputs() > 1 else "value",
            self.outputs(),
            every_step=False,
            length=int(self.lengths[development].max()),
        )
        settings = {key: value for key, value in self.options.items() if key not in _PLACES}
        self.fingerprint = fingerprint(
            {"task": self.name, "options": settings, "data": source.digest}
        )

    @abstractmethod
    def encode(self, every: Sequences) -> np.ndarray:
        """The targets of all sequences: class positions int64, or float64; raises DataError."""

    @abstractmethod
    def strata(self) -> np.ndarray | None:
        """What the random split balances, one number per sequence; None for nothing."""

    @abstractmethod
    def outputs(self) -> int:
        """Numbers that the model puts out: classes, or 1."""

    @abstractmethod
    def normalised_targets(self) -> np.ndarray:
        """The targets in the model's units, by the training split."""

    def batch(self, rng: np.random.Generator, size: int, progress: float) -> Batch:
        rows = self.rows["train"]
        return self.gather(rng.choice(rows, min(size, len(rows)), replace=False))

    def evaluation(self, split: Split, size: int = 256) -> Iterator[Batch]:
        rows = self.rows[split]
        for start in range(0, len(rows), size):
            yield self.gather(rows[start : start + size])

    def gather(self, rows: np.ndarray) -> Batch:
        """The sequences at ``rows``, padded on the right to the longest of them."""
        targets = self.trained[rows]
        return padded(self.inputs, self.starts, rows, targets)

    def describe(self) -> dict[str, Any]:
        counts: dict[str, int] = {split: len(rows) for split, rows in self.rows.items()}
        notes, usual, longest = list(self.notes), np.median(self.lengths), int(self.lengths.max())
        if longest > LOPSIDED * usual:
            notes.append(
                f"the longest sequence has {longest} steps, half of all at most {usual:.0f}: it is "
                "what training time and memory go into"
            )
        return {
            "task": self.name,
            "data": self.where,
            "target": self.target,
            "layout": self.roles.layout if self.roles else "archive",
            **counts,
            "length": [int(self.lengths.min()), int(self.lengths.max())],
            "inputs": self.signature.channels,
            "outputs": self.signature.outputs,
            "notes": notes,
        }

    def preparation(self) -> dict[str, Any]:
        roles = self.roles
        return {
            "kind": self.kind,
            "task": self.name,
            "signature": self.signature.to_plain(),
            "scaler": self.scaler.to_plain(),
            "layout": roles.layout if roles else None,
            "id": roles.id if roles else None,
            "time": roles.time if roles else None,
            "features": list(roles.features) if roles else None,
            "target": self.target,
        }

    def _require_enough(self, pool: int, total: int) -> None:
        fewest = FEWEST if pool == total else FEWEST_BESIDE_TEST
        if pool < fewest:
            splits = "train, validation and test" if pool == total else "train and validation"
            raise DataError(
                f"{self.where}: {pool} sequences are too few for {splits}; {fewest} are needed"
            )

    def _split(self, pool: int, total: int) -> dict[Split, np.ndarray]:
        rng = np.random.default_rng(self.options["split_seed"])
        strata = self.strata()
        rows = np.arange(pool)

        def part(rows: np.ndarray, fraction: float) -> tuple[np.ndarray, np.ndarray]:
            return hold_out(rows, fraction, rng, None if strata is None else strata[rows])

        test = np.arange(pool, total)
        if pool == total:
            rows, test = part(rows, self.options["test_fraction"])
        train, validation = part(rows, self.options["validation_fraction"])
        for name, chosen in (("train", train), ("validation", validation), ("test", test)):
            if not len(chosen):
                raise DataError(
                    f"{self.where}: no class has enough sequences to have one in the {name} split; "
                    "three of a class are enough"
                )
        return {"train": train, "validation": validation, "test": test}

    def _fit(self, every: Sequences, development: np.ndarray) -> Scaler:
        train = steps_of(every.starts, self.rows["train"])
        both = steps_of(every.starts, np.sort(development))
        scaler = Scaler.fit(self.options["normalise"], every.values[train], every.values[both])
        void, flat = [], []
        for place, name in enumerate(every.channels):
            column = every.values[train, place]
            seen = column[~np.isnan(column)]
            if not len(seen):
                void.append(name)
            elif (seen == seen[0]).all():
                flat.append(name)
        if void:
            self.notes.append(f"no value in the training split: {some(void)}")
        if flat:
            self.notes.append(f"constant in the training split: {some(flat)}")
        if scaler.flagged:
            names = some([every.channels[place] for place in scaler.flagged])
            self.notes.append(f"missing values in {names}: carried forward, and flagged")
        return scaler


_PLACES = ("data", "test")


def steps_of(starts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The positions of all steps of the sequences ``rows``."""
    chosen = np.zeros(len(starts) - 1, dtype=bool)
    chosen[rows] = True
    return np.flatnonzero(np.repeat(chosen, np.diff(starts)))


def padded(inputs: np.ndarray, starts: np.ndarray, rows: np.ndarray, targets: np.ndarray) -> Batch:
    """Sequences ``rows`` of ``inputs`` (all steps, C) as one batch (B, T, C)."""
    lengths = starts[rows + 1] - starts[rows]
    steps = np.arange(lengths.max())
    inside = steps < lengths[:, None]  # (B, T)
    places = np.where(inside, starts[rows][:, None] + steps, 0)
    values = np.where(inside[..., None], inputs[places], np.float32(0))
    return Batch(values, lengths.astype(np.int64), targets, rows=rows)
