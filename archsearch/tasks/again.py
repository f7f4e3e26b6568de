"""Labelled sequences of another file, read the way a model's training data was read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from archsearch.errors import DataError
from archsearch.tasks.archives import is_bundled, located, official_test
from archsearch.tasks.columns import Roles, some
from archsearch.tasks.labelled import padded
from archsearch.tasks.prepared.form import check_form
from archsearch.tasks.prepared.prepared import SIZE
from archsearch.tasks.prepared.sequences import OPTIONS
from archsearch.tasks.regression import numbers_of
from archsearch.tasks.scaling import Scaler
from archsearch.tasks.source import read_labelled
from archsearch.tasks.task import Batch


def read_labelled_again(name: str, preparation: Mapping[str, Any]) -> list[Batch]:
    """Batches with targets in the model's units; of a bundled archive the official test split.

    Raises DataError in one line where the file does not fit, or has a class the model never saw,
    and StateError where the preparation is none that an export writes.
    """
    refuse_other_kinds(name, preparation)
    check_form(preparation)
    path = located(name, "ucr")
    if is_bundled(name):
        path = official_test(path) or path
    roles = None
    if preparation["features"] is not None:
        roles = Roles(
            preparation["layout"],
            preparation["target"],
            preparation["id"],
            preparation["time"],
            tuple(preparation["features"]),
        )
    options = {**OPTIONS, "time": None, "target": preparation["target"]}
    sequences, _ = read_labelled(path, options, roles)
    scaler = Scaler.from_plain(preparation["scaler"])
    if sequences.values.shape[1] != len(scaler.offset):
        raise DataError(
            f"{path}: has {sequences.values.shape[1]} channels, the model was trained on "
            f"{len(scaler.offset)}"
        )
    inputs = scaler.apply(sequences.values, sequences.starts)
    targets = _targets(np.asarray(sequences.labels), preparation, path)
    rows = np.arange(len(sequences))
    parts = [rows[start : start + SIZE] for start in range(0, len(rows), SIZE)]
    return [padded(inputs, sequences.starts, part, targets[part]) for part in parts]


def refuse_other_kinds(name: str, preparation: Mapping[str, Any]) -> None:
    """Raise DataError unless the model is of labelled sequences, of which a file may hold more."""
    # without any it is malformed, which is told elsewhere
    if preparation.get("kind", "sequences") != "sequences":
        raise DataError(
            f"{name}: a model of {preparation['kind']} is not adapted with a file; adapt its study"
        )


def _targets(labels: np.ndarray, preparation: Mapping[str, Any], path: Path) -> np.ndarray:
    if "classes" not in preparation:
        values = numbers_of(labels, preparation["target"], path)
        scaled = (values - preparation["target_offset"]) / preparation["target_scale"]
        return scaled.astype(np.float32)[:, None]
    known = {_spelled(label): place for place, label in enumerate(preparation["classes"])}
    strange = sorted({_spelled(label) for label in labels} - known.keys())
    if strange:
        raise DataError(f"{path}: has classes that the model does not know: {some(strange)}")
    return np.array([known[_spelled(label)] for label in labels], dtype=np.int64)


def _spelled(label: object) -> str:
    """1, 1.0 and '1' alike, as the classes of the training data were told apart; '01' is a text."""
    text = str(label)
    if re.fullmatch(r"-?(0|[1-9][0-9]*)\.0+", text):
        return text.partition(".")[0]
    return text
