"""Fills in missing values and brings channels to one scale, by what the training split showed."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Scaler:
    """The statistics of the training split, one number per channel.

    A missing value is the last one seen in its sequence; before the first one it is the channel's
    mean. Channels named in ``flagged`` (positions) had missing values in the data that the task
    was opened on, and get a channel of their own at the end: 1 where a value was missing, else 0.
    """

    mode: str
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    flagged: tuple[int, ...]

    @property
    def channels(self) -> int:
        return len(self.offset) + len(self.flagged)

    @classmethod
    def fit(cls, mode: str, train: np.ndarray, development: np.ndarray) -> Scaler:
        """From steps (N, C) of the training split, and of training and validation together.

        The latter decide only which channels are flagged, so that a model's shape is the same
        whether or not validation is trained on.
        """
        offset, scale = zip(*(moments(column) for column in train.T), strict=True)
        flagged = np.flatnonzero(np.isnan(development).any(axis=0))
        return cls(mode, offset, scale, tuple(int(place) for place in flagged))

    def apply(self, values: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Steps (N, C) of sequences laid end to end into model inputs, float32 (N, channels)."""
        missing = np.isnan(values)
        offset, scale = np.asarray(self.offset), np.asarray(self.scale)
        if self.mode == "channel":
            ready = (values - offset) / scale
            start_value = np.zeros(len(offset))
        elif self.mode == "sequence":
            ready = _by_sequence(values, missing, starts, np.minimum(scale, 1.0))
            start_value = np.zeros(len(offset))
        else:
            ready = values.copy()
            start_value = offset
        if missing.any():
            ready = carried_forward(ready, starts)
            ready = np.where(np.isnan(ready), start_value, ready)
        return np.concatenate([ready, missing[:, list(self.flagged)]], axis=1).astype(np.float32)

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Scaler:
        lists = {key: tuple(plain[key]) for key in ("offset", "scale", "flagged")}
        return cls(plain["mode"], **lists)


def moments(column: np.ndarray) -> tuple[float, float]:
    """Mean and deviation of the values that are not NaN; a constant column has deviation 1."""
    seen = column[~np.isnan(column)]
    if not len(seen):
        return 0.0, 1.0
    # in units of the largest value, so that squares neither overflow nor vanish
    unit = float(np.abs(seen).max()) or 1.0
    mean, deviation = float((seen / unit).mean()), float((seen / unit).std())
    return mean * unit, deviation * unit if deviation > 1e-12 else 1.0


def carried_forward(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Each NaN of (N, C) replaced by the last number before it in its sequence, if there is one."""
    steps = np.arange(len(values))[:, None]
    last = np.maximum.accumulate(np.where(np.isnan(values), -1, steps), axis=0)
    own = last >= np.repeat(starts[:-1], np.diff(starts))[:, None]
    found = np.take_along_axis(values, np.maximum(last, 0), axis=0)
    return np.where(own, found, np.nan)


def _by_sequence(
    values: np.ndarray, missing: np.ndarray, starts: np.ndarray, usual: np.ndarray
) -> np.ndarray:
    """Each sequence with mean 0 and deviation 1; one that is flat beside ``usual`` (C,) is 0."""
    lengths = np.diff(starts)
    known = np.where(missing, 0.0, values)
    count = np.maximum(np.add.reduceat(~missing, starts[:-1], axis=0, dtype=np.int64), 1)
    mean = np.repeat(np.add.reduceat(known, starts[:-1], axis=0) / count, lengths, axis=0)
    centred = np.where(missing, 0.0, values - mean)
    variance = np.add.reduceat(centred**2, starts[:-1], axis=0) / count
    deviation = np.sqrt(variance)
    flat = deviation <= 1e-12 * np.maximum(np.abs(np.add.reduceat(known, starts[:-1])), usual)
    return (values - mean) / np.repeat(np.where(flat, 1.0, deviation), lengths, axis=0)
