"""Forecasting: the next steps of one or many series from a window of their past."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from archsearch.errors import DataError
from archsearch.spec.settings import Objective, fingerprint
from archsearch.spec.signature import Signature
from archsearch.tasks.archives import located
from archsearch.tasks.columns import some
from archsearch.tasks.metrics import mean_absolute_error, root_mean_squared_error
from archsearch.tasks.series import SeriesTable, is_even, read_series
from archsearch.tasks.series_scaling import SeriesScaler
from archsearch.tasks.source import files_digest
from archsearch.tasks.task import Batch, Protocol, Split, Task


class Forecasting(Task):
    """Windows of ``context`` steps and the ``horizon`` steps after them.

    The last part of the time is test, the part before it validation: at the same moment for all
    series when there is a time column, else at the same fraction of each. A window belongs to the
    split that all its forecast steps lie in; its context may reach back further. Windows with a
    missing value among the forecast steps are left out.
    """

    kind = "series"
    name = "forecasting"
    metrics = (Objective("mae", "min"), Objective("rmse", "min"), Objective("mase", "min"))

    def __init__(self, options: Mapping[str, Any], protocol: Protocol = "search") -> None:
        self.options = dict(options)
        self.where = str(options["data"])
        self.context, self.horizon = int(options["context"]), int(options["horizon"])
        self.season = int(options["season"])
        path = located(self.where, "aeon")
        self.series = read_series(path, options)
        bounds = self._bounds(self.series)  # (series, 2): validation start, test start
        self.origins = self._windows(bounds, protocol)
        self.scaler = SeriesScaler.fit(
            self.series,
            train_ends=bounds[:, 1 if protocol == "confirm" else 0],
            development_ends=bounds[:, 1],
            season=self.season,
            predict=options["predict"],
            origins=_at_most(self.origins["train"], 10_000),
            horizon=self.horizon,
        )
        self.inputs = self.scaler.inputs(self.series)  # (all steps, channels)
        self.observed = self.scaler.observed(self.series)  # (all steps,) carried forward
        self.member = np.repeat(np.arange(len(self.series)), np.diff(self.series.starts))
        self.signature = Signature(
            "values",
            self.inputs.shape[1],
            "value",
            self.horizon,
            every_step=False,
            length=self.context,
        )
        settings = {key: value for key, value in self.options.items() if key != "data"}
        self.fingerprint = fingerprint(
            {"task": self.name, "options": settings, "data": files_digest([path])}
        )

    def batch(self, rng: np.random.Generator, size: int, progress: float) -> Batch:
        origins = self.origins["train"]
        return self.gather(rng.choice(origins, min(size, len(origins)), replace=False))

    def evaluation(self, split: Split, size: int = 256) -> Iterator[Batch]:
        origins = _at_most(self.origins[split], self.options["judged"])
        for start in range(0, len(origins), size):
            yield self.gather(origins[start : start + size])

    def gather(self, origins: np.ndarray) -> Batch:
        """The windows whose first forecast steps are at ``origins`` among all steps."""
        inputs = self.inputs[origins[:, None] + np.arange(-self.context, 0)]
        targets = self.scaler.trained(
            self.truth(origins), self.observed[origins - 1], self.member[origins]
        )
        lengths = np.full(len(origins), self.context, dtype=np.int64)
        return Batch(inputs, lengths, targets.astype(np.float32), rows=origins)

    def truth(self, origins: np.ndarray) -> np.ndarray:
        """What is to be forecast, in its own units, float64 (B, horizon)."""
        return self.series.values[:, 0][origins[:, None] + np.arange(self.horizon)]

    def score(self, predictions: list[np.ndarray], batches: list[Batch]) -> dict[str, float]:
        origins = np.concatenate([batch.rows for batch in batches])
        said = self.scaler.original(
            np.concatenate(predictions), self.observed[origins - 1], self.member[origins]
        )
        return self._judge(said, origins)

    def chance(self) -> dict[str, float]:
        """None: how large the error of a guess is, only a split can tell."""
        return {}

    def baselines(self, split: Split = "test") -> dict[str, dict[str, float]]:
        origins = np.concatenate([batch.rows for batch in self.evaluation(split)])
        shape = (len(origins), self.horizon)
        mean = np.asarray(self.scaler.offset)[self.member[origins]]
        rules = {
            "last value": np.broadcast_to(self.observed[origins - 1][:, None], shape),
            "mean": np.broadcast_to(mean[:, None], shape),
        }
        if self.season > 1:
            rules["seasonal naive"] = self.observed[self._season_before(origins)]
        return {name: self._judge(said, origins) for name, said in rules.items()}

    def preparation(self) -> dict[str, Any]:
        roles = self.series.roles
        return {
            "kind": self.kind,
            "task": self.name,
            "signature": self.signature.to_plain(),
            "scaler": self.scaler.to_plain(),
            "target": roles.target,
            "id": roles.id,
            "time": roles.time,
            "covariates": list(roles.covariates),
        }

    def describe(self) -> dict[str, Any]:
        lengths = np.diff(self.series.starts)
        notes = [*self.series.roles.notes, *self.scaler.notes(self.series)]
        values, used = self.series.values[:, 0], np.concatenate(list(self.origins.values()))
        idle = np.setdiff1d(np.arange(len(self.series)), self.member[used])
        if len(idle):
            names = some([str(self.series.ids[place]) for place in idle])
            notes.append(
                f"{len(idle)} of {len(self.series)} series have no window of {self.context} + "
                f"{self.horizon} steps and are not used: {names}"
            )
        if np.nanmin(values) == np.nanmax(values):
            notes.append(f"target '{self.series.roles.target}' is constant")
        if not is_even(self.series):
            notes.append("steps are not evenly spaced in time; they are taken as if they were")
        return {
            "task": self.name,
            "data": self.where,
            "target": self.series.roles.target,
            "series": len(self.series),
            **{split: len(origins) for split, origins in self.origins.items()},
            "length": [int(lengths.min()), int(lengths.max())],
            "context": self.context,
            "horizon": self.horizon,
            "inputs": self.signature.channels,
            "outputs": self.signature.outputs,
            "notes": notes,
        }

    def _judge(self, said: np.ndarray, origins: np.ndarray) -> dict[str, float]:
        wanted = self.truth(origins)
        naive = np.asarray(self.scaler.naive)[self.member[origins]][:, None]
        return {
            "mae": mean_absolute_error(said, wanted),
            "rmse": root_mean_squared_error(said, wanted),
            "mase": mean_absolute_error(said / naive, wanted / naive),
        }

    def _season_before(self, origins: np.ndarray) -> np.ndarray:
        """For every forecast step the last step of the same season before the origin."""
        ahead = np.arange(self.horizon)
        back = self.season * (ahead // self.season + 1) - ahead
        places = origins[:, None] - back
        inside = places >= self.series.starts[self.member[origins]][:, None]
        return np.where(inside, places, origins[:, None] - 1)

    def _bounds(self, series: SeriesTable) -> np.ndarray:
        held, judged = self.options["test_fraction"], self.options["validation_fraction"]
        if held + judged >= 1:
            raise DataError(
                f"{self.where}: validation_fraction + test_fraction is {held + judged:g}; "
                "nothing is left to train on"
            )
        parts = np.asarray([1 - held - judged, 1 - held])
        if series.moments is None:
            lengths = np.diff(series.starts)[:, None]
            return np.floor(lengths * parts + 1e-9).astype(np.int64)
        moments = np.unique(series.moments)
        cuts = moments[np.floor(len(moments) * parts + 1e-9).astype(np.int64)]
        spans = zip(series.starts[:-1], series.starts[1:], strict=True)
        return np.stack(
            [np.searchsorted(series.moments[first:last], cuts) for first, last in spans]
        )

    def _windows(self, bounds: np.ndarray, protocol: Protocol) -> dict[Split, np.ndarray]:
        found: dict[Split, list[np.ndarray]] = {"train": [], "validation": [], "test": []}
        room = dict.fromkeys(found, 0)
        whole = ~np.isnan(self.series.values[:, 0])
        misses = np.concatenate([[0], np.cumsum(~whole)])
        for index, (validation, test) in enumerate(bounds):
            first, last = self.series.starts[index], self.series.starts[index + 1]
            spans: dict[Split, tuple[int, int]] = {
                "train": (0, test if protocol == "confirm" else validation),
                "validation": (validation, test),
                "test": (test, last - first),
            }
            for split, (begin, end) in spans.items():
                origins = first + np.arange(max(begin, self.context), end - self.horizon + 1)
                complete = misses[origins + self.horizon] == misses[origins]
                seen = misses[origins] - misses[origins - self.context] < self.context
                found[split].append(origins[complete & seen])
                room[split] += len(origins)
        windows = {split: np.concatenate(parts) for split, parts in found.items()}
        for split, origins in windows.items():
            if not len(origins) and room[split]:
                raise DataError(
                    f"{self.where}: target '{self.series.roles.target}' has missing values in "
                    f"every forecast of {self.horizon} steps of the {split} split; fill them in, "
                    "or take a smaller horizon"
                )
            if not len(origins):
                longest = int(np.diff(self.series.starts).max())
                raise DataError(
                    f"{self.where}: no window of {self.context} + {self.horizon} steps has its "
                    f"forecast in the {split} split (the longest series has {longest} steps); "
                    "take a smaller context or horizon, or other fractions"
                )
        return windows


def _at_most(origins: np.ndarray, count: int) -> np.ndarray:
    if len(origins) <= count:
        return origins
    return origins[np.linspace(0, len(origins) - 1, count).round().astype(np.int64)]
