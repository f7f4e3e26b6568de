"""Time series in a table: one or many, ordered by time, a column to forecast and covariates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from archsearch.errors import DataError
from archsearch.tasks.columns import (
    COUNTING,
    IDS,
    TIMES,
    UNTIMED,
    columns_in,
    known_as,
    left_out,
)
from archsearch.tasks.files import require_file
from archsearch.tasks.sequences import grouped, in_order
from archsearch.tasks.tables import TABLES, column_named, read_table, row_counters
from archsearch.tasks.times import as_order, note_on_dates
from archsearch.tasks.values import as_numbers, is_numeric

ANSWERS = ("target", "value", "y")


@dataclass(frozen=True)
class SeriesRoles:
    """The columns of a table of series."""

    target: str
    id: str | None
    time: str | None
    covariates: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class SeriesTable:
    """Series laid end to end: ``values`` float64 (all steps, 1 + covariates), the target first,
    NaN where missing. ``moments`` (all steps,) order the steps, None when the file does;
    ``times`` (all steps,) are the entries of the time column as they stand in the file.
    """

    values: np.ndarray
    starts: np.ndarray
    ids: np.ndarray
    moments: np.ndarray | None
    times: pd.Series | None
    roles: SeriesRoles

    def __len__(self) -> int:
        return len(self.starts) - 1


def read_series(
    path: Path, options: Mapping[str, Any], roles: SeriesRoles | None = None
) -> SeriesTable:
    """The series of a file; raises DataError with the file and the place.

    With ``roles`` the table must have their columns; otherwise they are found anew.
    """
    require_file(path)
    if not path.name.lower().endswith(TABLES):
        raise DataError(f"{path}: series are read from {', '.join(TABLES)}")
    table = read_table(path)
    if roles is None:
        roles = _find_roles(table, options, path)
    else:
        wanted = [(roles.target, "target"), *((name, "covariate") for name in roles.covariates)]
        wanted += [(name, role) for name, role in ((roles.id, "id"), (roles.time, "time")) if name]
        for name, role in wanted:
            column_named(table, name, role, path)
    codes, ids = np.zeros(len(table), dtype=np.int64), np.asarray([""], dtype=object)
    if roles.id is not None:
        codes, ids = grouped(table, roles.id, path)
    order = in_order(table, codes, ids, roles.time, path)
    values = as_numbers(table, [roles.target, *roles.covariates], path)[order]
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes))]).astype(np.int64)
    moments = times = None
    if roles.time is not None:
        moments = as_order(table[roles.time], path)[order]
        times = table[roles.time].iloc[order].reset_index(drop=True)
    return SeriesTable(values, starts, ids, moments, times, roles)


def without_open_end(series: SeriesTable) -> SeriesTable:
    """The series without the steps at their ends where the target is not known yet."""
    kept = np.ones(len(series.values), dtype=bool)
    for first, last in zip(series.starts[:-1], series.starts[1:], strict=True):
        known = np.flatnonzero(~np.isnan(series.values[first:last, 0]))
        kept[first + (known[-1] + 1 if len(known) else 0) : last] = False
    lengths = np.add.reduceat(kept, series.starts[:-1], dtype=np.int64)
    return replace(
        series,
        values=series.values[kept],
        starts=np.concatenate([[0], np.cumsum(lengths)]),
        moments=None if series.moments is None else series.moments[kept],
        times=None if series.times is None else series.times[kept].reset_index(drop=True),
    )


def is_even(series: SeriesTable) -> bool:
    """Whether steps are about equally far apart in time; months of any length count as equal."""
    if series.moments is None:
        return True
    gaps = np.diff(series.moments)
    inside = np.ones(len(gaps), dtype=bool)
    inside[series.starts[1:-1] - 1] = False
    gaps = gaps[inside]
    return not len(gaps) or bool(gaps.max() <= 1.5 * np.median(gaps))


def _find_roles(table: pd.DataFrame, options: Mapping[str, Any], path: Path) -> SeriesRoles:
    named = {
        role: column_named(table, str(options[role]), role, path)
        for role in ("id", "time", "target")
        if options[role] is not None
    }
    ignored = set(columns_in(table, options["ignore"], "ignore", path))
    chosen = columns_in(table, options["features"], "features", path)
    free = [name for name in table.columns if name not in ignored | set(named.values())]
    identity, time = named.get("id"), named.get("time")
    target = named.get("target")
    notes: list[str] = []
    counters = set(row_counters(table)) & set(free) - set(chosen)
    free = [name for name in free if name not in counters]
    notes += left_out(sorted(counters), COUNTING)
    if identity is None and (found := known_as(table[free], IDS)) is not None:
        free.remove(found)
        if table[found].duplicated().any():
            identity = found
        else:
            notes += left_out([found], "it names every row, not a series")
    if time is None:
        time = known_as(table[free], TIMES)
        if (
            time is None
            and identity is None
            and len(free) > 1
            and _only_grows(table[free[0]], path)
        ):
            time = free[0]
        if time is not None:
            free.remove(time)
    target = target or known_as(table[free], ANSWERS)
    numeric = [name for name in free if is_numeric(table[name])]
    if target is None:
        if not numeric:
            raise DataError(f"{path}: no numeric column is left to forecast; see 'target'")
        target = numeric[-1]
    covariates = [name for name in numeric if name != target]
    if chosen:
        covariates = [name for name in chosen if name != target]
    else:
        left = [name for name in free if name not in numeric and name != target]
        notes += left_out(left, "not numeric")
    if time is None:
        notes.append(UNTIMED)
    else:
        notes += note_on_dates(table[time])
    return SeriesRoles(target, identity, time, tuple(covariates), tuple(notes))


def _only_grows(column: pd.Series, path: Path) -> bool:
    try:
        return bool((np.diff(as_order(column, path)) > 0).all())
    except DataError:
        return False
