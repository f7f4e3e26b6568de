"""From a new file to model inputs, and from what the model puts out to answers a person reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from archsearch.errors import DataError
from archsearch.spec.signature import Signature
from archsearch.tasks.archives import is_bundled, located, official_test
from archsearch.tasks.characters import (
    UNKNOWN,
    code_points,
    read_text,
    symbols_of,
    windows_over,
)
from archsearch.tasks.columns import Roles
from archsearch.tasks.labelled import padded
from archsearch.tasks.metrics import log_softmax
from archsearch.tasks.scaling import Scaler
from archsearch.tasks.sequences import from_arrays
from archsearch.tasks.series import SeriesRoles, SeriesTable, read_series, without_open_end
from archsearch.tasks.series_scaling import SeriesScaler
from archsearch.tasks.source import read_labelled
from archsearch.tasks.task import Batch
from archsearch.tasks.times import times_after

SIZE = 256
OPTIONS = {"layout": "auto", "features": None, "ignore": None, "target": None, "id": None}


@dataclass(frozen=True)
class Prepared:
    """Model inputs of a file in order, in batches with empty targets.

    ``ids`` name the sequences, one for each row of the batches. ``facts`` is what :func:`answers`
    needs beside the predictions: times to come, last values, the text itself.
    """

    batches: list[Batch]
    ids: np.ndarray
    facts: dict[str, Any] = field(default_factory=dict)


def read_for_prediction(path: str | Path, preparation: Mapping[str, Any]) -> Prepared:
    """Reads a file the way the training data was read; it needs no target.

    A series is forecast from its end. Raises DataError in one line when the file does not fit.
    """
    match preparation["kind"]:
        case "sequences":
            return _sequences(str(path), preparation)
        case "series":
            return _series(located(str(path), "aeon"), preparation)
        case "text":
            return _text(Path(path), preparation)
        case "masked text":
            return _masked(Path(path), preparation)
        case "generated":
            return _generated(Path(path), preparation)
    raise DataError(f"preparation '{preparation['kind']}' is of a later version of archsearch")


def answers(
    prepared: Prepared, predictions: list[np.ndarray], preparation: Mapping[str, Any]
) -> pd.DataFrame:
    """One row per answer, from what the model put out for each batch.

    Sequences: id, prediction and, for classes, the probability of each. Series: id, step, time
    where known, prediction. Text: per character its log2 probability given those before it, and
    the last row the likeliest next one. Masked text: position, prediction, probability per blank.
    Generated: id, (step,) prediction.
    """
    match preparation["kind"]:
        case "sequences":
            return _sequence_answers(prepared, np.concatenate(predictions), preparation)
        case "series":
            return _series_answers(prepared, np.concatenate(predictions), preparation)
        case "text":
            return _text_answers(prepared, predictions, preparation)
        case "masked text":
            return _masked_answers(prepared, predictions, preparation)
    return _generated_answers(prepared, predictions, preparation)


def _sequences(name: str, preparation: Mapping[str, Any]) -> Prepared:
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
        for part in _parts(rows)
    ]
    return Prepared(batches, sequences.ids)


def _sequence_answers(
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


def _series(path: Path, preparation: Mapping[str, Any]) -> Prepared:
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
        for part in _parts(np.arange(len(series)))
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


def _series_answers(
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


def _text(path: Path, preparation: Mapping[str, Any]) -> Prepared:
    points = code_points(read_text(path), path)
    alphabet = np.asarray([ord(character) for character in preparation["alphabet"]])
    symbols = symbols_of(points, alphabet)
    context, warmup = preparation["context"], preparation["warmup"]
    # one place more than the text has, so that its last character gives the next one
    starts, mask = windows_over(0, len(symbols) + 1, context, warmup)
    filled = np.concatenate([symbols, np.zeros(context + 1, dtype=np.int64)])
    batches = []
    for part in _parts(np.arange(len(starts))):
        window = filled[starts[part][:, None] + np.arange(context + 1)]
        lengths = np.minimum(len(symbols) - starts[part], context)
        batches.append(Batch(window[:, :-1], lengths, window[:, 1:], mask[part], starts[part]))
    characters = [chr(point) for point in points]
    return Prepared(batches, np.arange(1, len(points) + 1), {"characters": characters})


def _text_answers(
    prepared: Prepared, predictions: list[np.ndarray], preparation: Mapping[str, Any]
) -> pd.DataFrame:
    said, wanted = [], []
    for logits, batch in zip(predictions, prepared.batches, strict=True):
        said.append(log_softmax(logits[batch.mask]))
        wanted.append(batch.targets[batch.mask])
    logs, targets = np.concatenate(said), np.concatenate(wanted)
    known = logs.copy()
    known[:, UNKNOWN] = -np.inf
    likeliest = [preparation["alphabet"][place - 1] for place in known.argmax(axis=1)]
    chosen = np.take_along_axis(logs, targets[:, None], axis=1)[:, 0] / np.log(2)
    chosen[-1] = np.nan
    return pd.DataFrame(
        {
            "position": np.arange(2, len(logs) + 2),
            "character": [*prepared.facts["characters"][1:], ""],
            "log2_probability": chosen,
            "prediction": likeliest,
        }
    )


def _masked(path: Path, preparation: Mapping[str, Any]) -> Prepared:
    points = code_points(read_text(path), path)
    alphabet = np.asarray([ord(character) for character in preparation["alphabet"]])
    hidden = points == ord(preparation["blank"])
    if not hidden.any():
        raise DataError(
            f"{path}: nothing to fill in; put {preparation['blank']} where a character is missing"
        )
    symbols = np.where(hidden, len(alphabet) + 1, symbols_of(points, alphabet))
    starts = np.arange(0, len(symbols), preparation["context"])
    batches = []
    for part in _parts(np.arange(len(starts))):
        places = starts[part][:, None] + np.arange(preparation["context"])
        inside = places < len(symbols)
        places = np.minimum(places, len(symbols) - 1)
        inputs = np.where(inside, symbols[places], 0)
        batches.append(
            Batch(inputs, inside.sum(1), np.zeros_like(inputs), inside & hidden[places], part)
        )
    return Prepared(batches, np.flatnonzero(hidden) + 1)


def _masked_answers(
    prepared: Prepared, predictions: list[np.ndarray], preparation: Mapping[str, Any]
) -> pd.DataFrame:
    said = [logits[batch.mask] for logits, batch in zip(predictions, prepared.batches, strict=True)]
    probabilities = np.exp(log_softmax(np.concatenate(said)))[:, 1:]  # no symbol for strange ones
    likeliest = probabilities.argmax(axis=1)
    return pd.DataFrame(
        {
            "position": prepared.ids,
            "prediction": [preparation["alphabet"][place] for place in likeliest],
            "probability": probabilities.max(axis=1),
        }
    )


def _generated(path: Path, preparation: Mapping[str, Any]) -> Prepared:
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
    for part in _parts(np.arange(len(stored))):
        shape = (len(part), signature.outputs)
        batch = padded(values.astype(np.float32), stored.starts, part, np.zeros(shape, np.float32))
        if signature.inputs == "tokens":
            batch = replace(batch, inputs=batch.inputs[..., 0].astype(np.int64))
        batches.append(batch)
    return Prepared(batches, stored.ids)


def _generated_answers(
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


def _parts(rows: np.ndarray) -> list[np.ndarray]:
    return [rows[start : start + SIZE] for start in range(0, len(rows), SIZE)]
