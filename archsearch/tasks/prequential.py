"""Files read as streams whose truths arrive later: every prediction is judged, then learned from.

The errors are prequential (Dawid 1984): of predictions made before their truths were known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archsearch.errors import DataError
from archsearch.tasks.archives import located
from archsearch.tasks.characters import code_points, read_text, symbols_of
from archsearch.tasks.metrics import log_softmax
from archsearch.tasks.prepare import read_for_prediction
from archsearch.tasks.prepared.form import check_form
from archsearch.tasks.prepared.prepared import Prepared
from archsearch.tasks.prepared.series import open_series
from archsearch.tasks.series_scaling import SeriesScaler
from archsearch.tasks.task import Batch


@dataclass(frozen=True)
class Told:
    """One sequence in the order of time.

    ``inputs`` (T, channels) or (T,) of tokens; ``targets`` (T, outputs) of numbers, NaN where the
    file does not say, or (T,) of classes, -1 where it does not. The truth of output h of step t is
    known h + 1 steps later, that of a class one step later.
    """

    inputs: np.ndarray
    targets: np.ndarray

    def arriving(self, step: int) -> Iterator[tuple[int, np.ndarray]]:
        """What is known once the input of this step is there: (steps ago, targets of that step).

        The latest prediction, of the step before, is zero steps ago.
        """
        if self.targets.ndim == 1:
            if step:
                yield 0, self.targets[step - 1]
            return
        for ago in range(min(self.targets.shape[1], step)):
            found = np.full(self.targets.shape[1], np.nan, dtype=np.float32)
            found[ago] = self.targets[step - 1 - ago, ago]
            if not np.isnan(found[ago]):
                yield ago, found


@dataclass(frozen=True)
class Streams:
    """The sequences of a file, and how answers to their steps are worded and judged.

    ``prepared`` takes the last predictions of series, or all of a text, to a table.
    """

    told: list[Told]
    prepared: Prepared
    metric: str

    def put_out(self, predictions: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What :func:`archsearch.tasks.prepare.answers` takes, of (T, outputs) per sequence."""
        if self.told[0].targets.ndim == 1:
            return [predictions[0][None]]
        return [np.stack([each[-1] for each in predictions])]

    def errors(self, predictions: Sequence[np.ndarray]) -> np.ndarray:
        """The errors of all predictions whose truth the file has, one number each.

        Absolute errors in the units of the file, or bits per character.
        """
        found = []
        for place, (told, said) in enumerate(zip(self.told, predictions, strict=True)):
            if told.targets.ndim == 1:
                known = told.targets >= 0
                logs = log_softmax(said[known])
                chosen = np.take_along_axis(logs, told.targets[known][:, None], axis=1)[:, 0]
                found.append(-chosen / np.log(2))
                continue
            scaler: SeriesScaler = self.prepared.facts["scaler"]
            unit = scaler.scale[place] * scaler.spread
            errors = np.abs(said.astype(np.float64) - told.targets) * unit
            found.append(errors[~np.isnan(errors)])
        return np.concatenate(found)


def read_streams(path: str | Path, preparation: Mapping[str, Any]) -> Streams:
    """A file as streams; DataError where it does not fit or no truths arrive in such data."""
    check_form(preparation)
    match preparation["kind"]:
        case "series":
            return _series(str(path), preparation)
        case "text":
            return _text(Path(path), preparation)
    raise DataError(
        f"{path}: nothing to learn from: the truth of a prediction arrives later in series and in "
        f"text, and this model is for {preparation['kind']}"
    )


def _series(name: str, preparation: Mapping[str, Any]) -> Streams:
    path = located(name, "aeon")
    series, scaler, signature = open_series(path, preparation)
    inputs, observed = scaler.inputs(series), scaler.observed(series)
    told = []
    for member, (first, last) in enumerate(zip(series.starts[:-1], series.starts[1:], strict=True)):
        ahead = np.arange(first, last)[:, None] + 1 + np.arange(signature.outputs)
        wanted = np.where(ahead < last, series.values[:, 0][np.minimum(ahead, last - 1)], np.nan)
        members = np.full(last - first, member)
        targets = scaler.trained(wanted, observed[first:last], members)
        told.append(Told(inputs[first:last], targets.astype(np.float32)))
    return Streams(told, read_for_prediction(name, preparation), "mae")


def _text(path: Path, preparation: Mapping[str, Any]) -> Streams:
    points = code_points(read_text(path), path)
    alphabet = np.asarray([ord(character) for character in preparation["alphabet"]])
    symbols = symbols_of(points, alphabet).astype(np.int64)
    targets = np.concatenate([symbols[1:], [-1]])
    steps = np.asarray([len(symbols)])
    batch = Batch(
        symbols[None], steps, np.maximum(targets, 0)[None], np.ones((1, len(symbols)), bool), steps
    )
    facts = {"characters": [chr(point) for point in points]}
    prepared = Prepared([batch], np.arange(1, len(points) + 1), facts)
    return Streams([Told(symbols, targets)], prepared, "bits per character")
