"""Time columns: numbers, dates in the ways they are written, and how they go on."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from archsearch.errors import DataError
from archsearch.tasks.values import LARGEST, parsed

_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}([.,]\d+)?)?")
_DAY_AND_MONTH = r"^(\d{1,2})([./-])(\d{1,2})\2(\d{4})(?!\d)(.*)$"
_QUARTER = r"^(\d{4})[ -]?[Qq]([1-4])$"
_OFFSET = re.compile(r":\d{2}[\d:.,]*\s*(Z|UTC|[+-]\d{2}(:?\d{2})?)")


def as_order(column: pd.Series, path: Path) -> np.ndarray:
    """A time column as float64 that sorts like it: numbers as they are, dates as seconds.

    Whole numbers that float64 cannot tell apart, such as nanoseconds, are counted from the first.
    """
    name = column.name
    if pd.api.types.is_integer_dtype(column) and not column.hasnans:
        beyond = max(abs(int(column.min())), abs(int(column.max()))) > 2**53
        column = column - column.min() if beyond else column
    dates = _as_days(column)
    numbers, wrong = parsed(column)
    void = np.isnan(numbers) & ~wrong
    if void.any():
        row = int(np.flatnonzero(void)[0]) + 1
        raise DataError(f"{path}: time column '{name}' is empty in row {row}")
    if dates is None and wrong.mean() < 0.5:
        wrong |= np.abs(numbers) > LARGEST
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"{path}: time column '{name}' is not a number in row {row + 1}: "
                f"'{column.iloc[row]}'; correct it, or set 'ignore: {name}'"
            )
        return numbers
    if _CLOCK.fullmatch(str(column.iloc[0]).strip()):
        raise DataError(
            f"{path}: time column '{name}' has times of day without a date: '{column.iloc[0]}'; "
            f"write dates too, or set 'ignore: {name}' to take the rows in their order"
        )
    moments = as_dates(column) if dates is None else dates
    if moments.isna().any():
        row = int(np.flatnonzero(moments.isna())[0])
        raise DataError(
            f"{path}: time column '{name}' is neither a number nor a date in row {row + 1}: "
            f"'{column.iloc[row]}'; write dates as 2024-01-31, or set 'ignore: {name}'"
        )
    return moments.to_numpy(dtype="datetime64[us]").astype(np.int64) / 1e6


def as_dates(column: pd.Series) -> pd.DatetimeIndex:
    """Dates, months (2024-01) or quarters (2024 Q1) in UTC without zone; NaT for anything else.

    31.01.2024 and 01/31/2024 are told apart by the numbers above 12; without any, points mean that
    the day comes first, and else the order that gives the more even steps is taken.
    """
    if pd.api.types.is_datetime64_any_dtype(column):
        dates = pd.DatetimeIndex(column)
        return dates if dates.tz is None else dates.tz_convert("UTC").tz_localize(None)
    texts = column.astype(str).str.strip()
    if re.match(_DAY_AND_MONTH, texts.iloc[0]):
        return _by_parts(texts)[0]
    quarters = texts.str.extract(_QUARTER)
    if quarters.notna().all(axis=None):
        months = (quarters[1].astype(int) * 3 - 2).astype(str).str.zfill(2)
        texts = quarters[0] + "-" + months
    return _read(texts)


def note_on_dates(column: pd.Series) -> tuple[str, ...]:
    """In which order day and month were read, where the file leaves it open to doubt."""
    if pd.api.types.is_datetime64_any_dtype(column) or pd.api.types.is_numeric_dtype(column):
        return ()
    texts = column.astype(str).str.strip()
    if not re.match(_DAY_AND_MONTH, texts.iloc[0]):
        return ()
    _, day_first = _by_parts(texts)
    return (f"dates in '{column.name}' are read as {'day' if day_first else 'month'} first",)


def times_after(times: pd.Series, horizon: int) -> list[Any]:
    """The next ``horizon`` entries of a series' time column, continued at its usual spacing.

    Dates with a time zone keep it; where only offsets from UTC are written, that of the last one.
    """
    numbers, wrong = parsed(times)
    dates = _as_days(times)
    if dates is None and wrong.any():
        dates = as_dates(times)
    if dates is not None:
        return _dates_after(dates, _zone_at_the_end(times), horizon)
    if pd.api.types.is_integer_dtype(times) and len(times) > 1:
        gaps = np.median(np.diff(times.to_numpy()))
        if gaps == round(gaps):
            return [int(times.iloc[-1]) + int(gaps) * step for step in range(1, horizon + 1)]
    spacing = float(np.median(np.diff(numbers))) if len(numbers) > 1 else 1.0
    later = numbers[-1] + spacing * np.arange(1, horizon + 1)
    whole = bool((later == np.round(later)).all())
    return [int(value) if whole else float(value) for value in later]


def _dates_after(dates: pd.DatetimeIndex, zone: Any, horizon: int) -> list[str]:
    """What follows dates in UTC, written with the offset of their zone if they have one."""
    dates = dates if zone is None else dates.tz_localize("UTC").tz_convert(zone)
    frequency = pd.infer_freq(dates) if len(dates) > 2 else None
    usual = pd.Series(dates).diff().median() if len(dates) > 1 else pd.Timedelta(days=1)
    following = pd.date_range(dates[-1], periods=horizon + 1, freq=frequency or usual)
    if frequency is None or following[0] == dates[-1]:
        following = following[1:]
    following = following[:horizon]
    if zone is None and bool((dates == dates.normalize()).all()):
        return [moment.strftime("%Y-%m-%d") for moment in following]
    fine = bool((following != following.floor("s")).any())
    return [moment.isoformat(" ", "microseconds" if fine else "seconds") for moment in following]


def _zone_at_the_end(times: pd.Series) -> Any:
    """The time zone of a column, or of the offset that its last entry is written with."""
    if pd.api.types.is_datetime64_any_dtype(times):
        return times.dt.tz
    found = _OFFSET.search(str(times.iloc[-1]))
    return pd.Timestamp(f"2000-01-01 00:00{found[1]}").tz if found else None


def _as_days(column: pd.Series) -> pd.DatetimeIndex | None:
    """Dates of days written as 20240131; None where not all entries are such."""
    if pd.api.types.is_datetime64_any_dtype(column) or not len(column):
        return None
    if not re.fullmatch(r"(18|19|20|21)\d{6}", str(column.iloc[0]).strip()):
        return None
    days = pd.to_datetime(column.astype(str).str.strip(), format="%Y%m%d", errors="coerce")
    return None if days.isna().any() else pd.DatetimeIndex(days)


def _by_parts(texts: pd.Series) -> tuple[pd.DatetimeIndex, bool]:
    """Dates written with day, month and year in this or the other order, and if the day is first.

    Where both orders give dates, it is the one with the more even steps; a tie goes to the month,
    unless the separator is a point.
    """
    parts = texts.str.extract(_DAY_AND_MONTH)
    year, rest = parts[3], parts[4].fillna("")
    by_day = _read(year + "-" + parts[2].str.zfill(2) + "-" + parts[0].str.zfill(2) + rest)
    by_month = _read(year + "-" + parts[0].str.zfill(2) + "-" + parts[2].str.zfill(2) + rest)
    gaps = int(np.sum(by_day.isna())), int(np.sum(by_month.isna()))
    if gaps[0] != gaps[1]:
        day_first = gaps[0] < gaps[1]
    elif parts[1].iloc[0] == ".":
        day_first = True
    else:
        day_first = _unevenness(by_day) < _unevenness(by_month)
    return (by_day if day_first else by_month), day_first


def _unevenness(dates: pd.DatetimeIndex) -> float:
    moments = np.unique(dates.dropna().to_numpy(dtype="datetime64[us]").astype(np.int64))
    gaps = np.diff(moments)
    return float(gaps.max() / np.median(gaps)) if len(gaps) else 1.0


def _read(texts: pd.Series) -> pd.DatetimeIndex:
    with warnings.catch_warnings():
        # without a common format the parser warns; what it cannot read is reported by the caller
        warnings.simplefilter("ignore")
        dates = pd.DatetimeIndex(pd.to_datetime(texts, errors="coerce", utc=True))
    return dates.tz_localize(None)
