"""Brings series to one scale and forecasts back to their own units, by the training part."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from archsearch.tasks.columns import some
from archsearch.tasks.scaling import Scaler, carried_forward, moments
from archsearch.tasks.series import SeriesTable


@dataclass(frozen=True)
class SeriesScaler:
    """Statistics of the training part of every series, by position, and of all pooled.

    The target is put in as (value - offset) / scale of its series; covariates by one mean and
    deviation each. The model puts out the value in that unit, or with ``predict`` ``change`` the
    change from the last observed value divided by ``spread``, the usual size of such a change.
    ``naive`` is the mean absolute error of the seasonal naive forecast within the training part,
    the unit of mase (Hyndman and Koehler 2006).
    """

    predict: str
    ids: tuple[str, ...]
    offset: tuple[float, ...]
    scale: tuple[float, ...]
    naive: tuple[float, ...]
    pooled: tuple[float, float]
    spread: float
    covariates: Scaler

    @classmethod
    def fit(
        cls,
        series: SeriesTable,
        *,
        train_ends: np.ndarray,
        development_ends: np.ndarray,
        season: int,
        predict: str,
        origins: np.ndarray,
        horizon: int,
    ) -> SeriesScaler:
        """``train_ends`` and ``development_ends`` (series,) are steps from each series' start;
        ``origins`` are training windows, from which the spread of changes is taken.
        """
        first = series.starts[:-1]
        parts = [
            series.values[start : start + end, 0]
            for start, end in zip(first, train_ends, strict=True)
        ]
        pooled = moments(np.concatenate(parts))
        levels = [
            moments(part) if np.count_nonzero(~np.isnan(part)) > 1 else pooled for part in parts
        ]
        offset, scale = zip(*levels, strict=True)
        train, development = (
            np.concatenate(
                [series.values[start : start + end] for start, end in zip(first, ends, strict=True)]
            )
            for ends in (train_ends, development_ends)
        )
        covariates = Scaler.fit("channel", train, development)
        ids = tuple(str(name) for name in series.ids)
        naive = _naive(parts, season)
        scaler = cls(predict, ids, offset, scale, naive, pooled, 1.0, covariates)
        if predict == "value":
            return scaler
        member = np.searchsorted(series.starts, origins, side="right") - 1
        wanted = series.values[:, 0][origins[:, None] + np.arange(horizon)]
        changes = scaler.trained(wanted, scaler.observed(series)[origins - 1], member)
        size = float(np.sqrt(np.mean(np.square(changes))))
        return replace(scaler, spread=size if size > 1e-12 else 1.0)

    def inputs(self, series: SeriesTable) -> np.ndarray:
        """Model inputs of every step, float32 (all steps, channels)."""
        offset, scale = self._levels(series)
        steps = np.diff(series.starts)
        ready = self.covariates.apply(series.values, series.starts)
        target = (series.values[:, 0] - np.repeat(offset, steps)) / np.repeat(scale, steps)
        filled = carried_forward(target[:, None], series.starts)[:, 0]
        ready[:, 0] = np.where(np.isnan(filled), 0.0, filled)
        return ready

    def observed(self, series: SeriesTable) -> np.ndarray:
        """The target of every step, or the last one observed before it; float64 (all steps,)."""
        offset, _ = self._levels(series)
        filled = carried_forward(series.values[:, :1], series.starts)[:, 0]
        return np.where(np.isnan(filled), np.repeat(offset, np.diff(series.starts)), filled)

    def trained(self, values: np.ndarray, last: np.ndarray, member: np.ndarray) -> np.ndarray:
        """Values (B, horizon) in the model's units; ``last`` (B,) is the last one observed."""
        return (values - self._base(last, member)) / self._unit(member)

    def original(self, put_out: np.ndarray, last: np.ndarray, member: np.ndarray) -> np.ndarray:
        """The inverse of :meth:`trained`, float64."""
        return put_out.astype(np.float64) * self._unit(member) + self._base(last, member)

    def for_series(self, series: SeriesTable) -> SeriesScaler:
        """The same statistics in the order of another table; series not seen get the pooled."""
        known = {name: place for place, name in enumerate(self.ids)}
        places = [known.get(str(name)) for name in series.ids]
        levels = [
            self.pooled if place is None else (self.offset[place], self.scale[place])
            for place in places
        ]
        naive = tuple(1.0 if place is None else self.naive[place] for place in places)
        offset, scale = zip(*levels, strict=True)
        ids = tuple(str(name) for name in series.ids)
        return replace(self, ids=ids, offset=offset, scale=scale, naive=naive)

    def notes(self, series: SeriesTable) -> list[str]:
        names = (series.roles.target, *series.roles.covariates)
        flagged = [names[place] for place in self.covariates.flagged]
        if not flagged:
            return []
        return [f"missing values in {some(flagged)}: carried forward, and flagged"]

    def to_plain(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> SeriesScaler:
        lists = ("ids", "offset", "scale", "naive", "pooled")
        return cls(
            **{
                **plain,
                **{key: tuple(plain[key]) for key in lists},
                "covariates": Scaler.from_plain(plain["covariates"]),
            }
        )

    def _levels(self, series: SeriesTable) -> tuple[np.ndarray, np.ndarray]:
        if len(series) != len(self.offset):
            raise ValueError("statistics and series differ in number; see for_series")
        return np.asarray(self.offset), np.asarray(self.scale)

    def _base(self, last: np.ndarray, member: np.ndarray) -> np.ndarray:
        base = last if self.predict == "change" else np.asarray(self.offset)[member]
        return base[:, None]

    def _unit(self, member: np.ndarray) -> np.ndarray:
        return (np.asarray(self.scale)[member] * self.spread)[:, None]


def _naive(parts: list[np.ndarray], season: int) -> tuple[float, ...]:
    errors = [np.abs(part[season:] - part[:-season]) for part in parts]
    errors = [error[~np.isnan(error)] for error in errors]
    every = np.concatenate(errors)
    usual = float(every.mean()) if len(every) and every.any() else 1.0
    return tuple(float(error.mean()) if error.any() else usual for error in errors)
