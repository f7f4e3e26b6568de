"""Labelled sequences without their labels, and the class or the value of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from archsearch.errors import DataError
from archsearch.tasks.archives import is_bundled, located, official_test
from archsearch.tasks.columns import Roles
from archsearch.tasks.labelled import padded
from archsearch.tasks.metrics import log_softmax
from archsearch.tasks.prepared.prepared import Prepared, parts
from archsearch.tasks.scaling import Scaler
from archsearch.tasks.sequences import Sequences
from archsearch.tasks.source import read_labelled

OPTIONS = {"layout": "auto", "features": None, "ignore": None, "target": None, "id": None}


def read(name: str, preparation: Mapping[str, Any]) -> Prepared:
    path = located(name, "ucr")
    if is_bundled(name):
        path = official_test(path) or path
    roles = None
    if preparation["features"] is not None:
        roles = Roles(
            preparation["layout"],
            None,
            preparation["id"],
            preparation["time"],
            tuple(preparation["features"]),
        )
    sequences, _ = read_labelled(path, {**OPTIONS, "time": None}, roles, labelled=False)
    scaler = Scaler.from_plain(preparation["scaler"])
    if sequences.values.shape[1] != len(scaler.offset):
        raise DataError(
            f"{path}: has {sequences.values.shape[1]} channels, the model was trained on "
            f"{len(scaler.offset)}"
        )
    inputs = scaler.apply(sequences.values, sequences.starts)
    rows = np.arange(len(sequences))
    batches = [
        padded(inputs, sequences.starts, part, np.zeros(len(part), dtype=np.float32))
        for part in parts(rows)
    ]
    return Prepared(batches, sequences.ids, notes=_notes(sequences))


def _notes(sequences: Sequences) -> tuple[str, ...]:
    void = np.logical_and.reduceat(np.isnan(sequences.values).all(axis=1), sequences.starts[:-1])
    if not void.any():
        return ()
    first = sequences.ids[int(void.argmax())]
    return (
        f"{void.sum()} of {len(sequences)} sequences have no values, first {first}: their "
        "answers rest on no data",
    )


def answers(
    prepared: Prepared, put_out: np.ndarray, preparation: Mapping[str, Any]
) -> pd.DataFrame:
    columns: dict[str, Any] = {"id": prepared.ids}
    if "classes" not in preparation:
        values = put_out[:, 0].astype(np.float64)
        columns["prediction"] = values * preparation["target_scale"] + preparation["target_offset"]
        return pd.DataFrame(columns)
    probabilities = np.exp(log_softmax(put_out))
    classes = preparation["classes"]
    columns["prediction"] = [classes[place] for place in put_out.argmax(axis=1)]
    for place, label in enumerate(classes):
        columns[f"probability {label}"] = probabilities[:, place]
    return pd.DataFrame(columns)
