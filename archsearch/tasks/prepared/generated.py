"""Arrays such as a generated task makes, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from archsearch.errors import DataError
from archsearch.spec.signature import Signature
from archsearch.tasks.labelled import padded
from archsearch.tasks.prepared.prepared import Prepared, parts
from archsearch.tasks.sequences import from_arrays


def read(path: Path, preparation: Mapping[str, Any]) -> Prepared:
    if path.suffix.lower() != ".npz":
        raise DataError(f"{path}: task {preparation['task']} reads an .npz with an array x")
    signature = Signature.from_plain(preparation["signature"])
    stored = from_arrays(path, None, labelled=False)
    channels = 1 if signature.inputs == "tokens" else signature.channels
    if stored.values.shape[1] != channels:
        wanted = "(n, T)" if channels == 1 else f"(n, T, {channels})"
        raise DataError(f"{path}: x must have shape {wanted} for task {preparation['task']}")
    values = stored.values
    if np.isnan(values).any():
        raise DataError(f"{path}: x has missing values")
    if signature.inputs == "tokens":
        whole = values.astype(np.int64)
        if (whole != values).any() or whole.min() < 0 or whole.max() >= signature.channels:
            raise DataError(f"{path}: x must be whole numbers from 0 to {signature.channels - 1}")
    batches = []
    for part in parts(np.arange(len(stored))):
        shape = (len(part), signature.outputs)
        batch = padded(values.astype(np.float32), stored.starts, part, np.zeros(shape, np.float32))
        if signature.inputs == "tokens":
            batch = replace(batch, inputs=batch.inputs[..., 0].astype(np.int64))
        batches.append(batch)
    return Prepared(batches, stored.ids)


def answers(
    prepared: Prepared, predictions: list[np.ndarray], preparation: Mapping[str, Any]
) -> pd.DataFrame:
    signature = Signature.from_plain(preparation["signature"])
    tables = []
    for put_out, batch in zip(predictions, prepared.batches, strict=True):
        ids = prepared.ids[batch.rows]
        if signature.every_step:
            inside = np.arange(put_out.shape[1]) < batch.lengths[:, None]
            steps = np.broadcast_to(np.arange(1, put_out.shape[1] + 1), inside.shape)[inside]
            said = put_out.argmax(axis=-1)[inside]
            columns = {"id": np.repeat(ids, batch.lengths), "step": steps, "prediction": said}
        else:
            outputs = np.tile(np.arange(1, put_out.shape[1] + 1), len(ids))
            columns = {"id": np.repeat(ids, put_out.shape[1]), "output": outputs}
            columns["prediction"] = put_out.ravel()
        tables.append(pd.DataFrame(columns))
    return pd.concat(tables, ignore_index=True)
