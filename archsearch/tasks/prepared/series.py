"""Series up to their ends, and what is forecast from there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from archsearch.errors import DataError
from archsearch.spec.signature import Signature
from archsearch.tasks.labelled import padded
from archsearch.tasks.prepared.prepared import Prepared, parts
from archsearch.tasks.series import SeriesRoles, SeriesTable, read_series, without_open_end
from archsearch.tasks.series_scaling import SeriesScaler
from archsearch.tasks.times import times_after


def open_series(
    path: Path, preparation: Mapping[str, Any]
) -> tuple[SeriesTable, SeriesScaler, Signature]:
    """The series of a file up to their last known values, and what turns them into inputs."""
    roles = SeriesRoles(
        preparation["target"],
        preparation["id"],
        preparation["time"],
        tuple(preparation["covariates"]),
    )
    series = without_open_end(read_series(path, {}, roles))
    scaler = SeriesScaler.from_plain(preparation["scaler"]).for_series(series)
    return series, scaler, Signature.from_plain(preparation["signature"])


def read(path: Path, preparation: Mapping[str, Any]) -> Prepared:
    series, scaler, signature = open_series(path, preparation)
    roles = series.roles
    inputs, observed = scaler.inputs(series), scaler.observed(series)
    ends = series.starts[1:]
    lengths = np.minimum(np.diff(series.starts), signature.length)
    if not lengths.all():
        name = series.ids[int(np.flatnonzero(lengths == 0)[0])]
        raise DataError(f"{path}: {f'series {name}' if roles.id else 'the target'} has no values")
    tails = np.stack([ends - lengths, ends], axis=1)
    places = np.concatenate([np.arange(first, last) for first, last in tails])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    batches = [
        padded(inputs[places], starts, part, np.zeros((len(part), signature.outputs), np.float32))
        for part in parts(np.arange(len(series)))
    ]
    future = None
    if series.times is not None:
        future = [
            times_after(series.times.iloc[first:last], signature.outputs)
            for first, last in zip(series.starts[:-1], ends, strict=True)
        ]
    return Prepared(
        batches, series.ids, {"last": observed[ends - 1], "times": future} | {"scaler": scaler}
    )


def answers(
    prepared: Prepared, put_out: np.ndarray, preparation: Mapping[str, Any]
) -> pd.DataFrame:
    scaler: SeriesScaler = prepared.facts["scaler"]
    member = np.arange(len(prepared.ids))
    values = scaler.original(put_out, prepared.facts["last"], member)  # (series, horizon)
    horizon = values.shape[1]
    columns: dict[str, Any] = {}
    if preparation["id"] is not None:
        columns["id"] = np.repeat(prepared.ids, horizon)
    columns["step"] = np.tile(np.arange(1, horizon + 1), len(values))
    if prepared.facts["times"] is not None:
        columns["time"] = [moment for times in prepared.facts["times"] for moment in times]
    columns["prediction"] = values.ravel()
    return pd.DataFrame(columns)
