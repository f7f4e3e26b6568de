"""Reads CSV and Parquet tables; every fault becomes one line with the file, line or column."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import io
import warnings
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from archsearch.errors import DataError
from archsearch.spec.catalog import suggestion

# far inside single precision, so that squares and sums stay finite
LARGEST = 1e30
TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".pq")


def require_file(path: Path) -> None:
    """Raises DataError unless the path is a file with something in it."""
    if path.is_dir():
        raise DataError(f"{path}: is a folder; name a file")
    if not path.exists():
        near = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        raise DataError(f"{path}: no such file{suggestion(path.name, near)}")
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise DataError(f"{path}: is empty")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def read_table(path: Path) -> pd.DataFrame:
    """The table with its columns as texts, whole numbers, real numbers or dates.

    Separator: comma, semicolon or tab, by the first line. Empty cells are missing values. A first
    column without a name that only counts the rows is dropped.
    """
    require_file(path)
    name = path.name.lower()
    table = _parquet(path) if name.endswith((".parquet", ".pq")) else _delimited(path)
    table.columns = [str(name).strip() for name in table.columns]
    if not len(table):
        raise DataError(f"{path}: has a header but no rows")
    if not len(table.columns):
        raise DataError(f"{path}: has no columns")
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise DataError(f"{path}: two columns are called '{twice[0]}'")
    first = table.columns[0]
    if first in ("", "Unnamed: 0", "__index_level_0__") and _counts_rows(table[first]):
        table = table.drop(columns=first)
    return table


def column_named(table: pd.DataFrame, wanted: str, role: str, path: Path) -> str:
    """``wanted`` if the table has it; raises DataError with what may have been meant."""
    if wanted not in table.columns:
        names = list(table.columns)
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        hint = suggestion(wanted, names) or f"; its columns are {shown}"
        raise DataError(f"{path}: no column '{wanted}' ({role}){hint}")
    return wanted


def as_numbers(table: pd.DataFrame, columns: list[str], path: Path) -> np.ndarray:
    """The columns as float64 (rows, columns), NaN where missing; raises DataError at a text."""
    numbers = np.empty((len(table), len(columns)), dtype=np.float64)
    for place, name in enumerate(columns):
        column = table[name]
        if pd.api.types.is_bool_dtype(column) or pd.api.types.is_numeric_dtype(column):
            numbers[:, place] = column.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            numbers[:, place] = _parsed(column, name, path)
    beyond = np.argwhere(np.abs(numbers) > LARGEST)
    if len(beyond):
        row, place = beyond[0]
        raise DataError(
            f"{path}: column '{columns[place]}' is {numbers[row, place]:g} in row {row + 1}; "
            f"values must lie within {LARGEST:g} of 0"
        )
    return numbers


def is_numeric(column: pd.Series) -> bool:
    """Whether every value that is not missing is a number or the text of one."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return False
    if pd.api.types.is_numeric_dtype(column):
        return True
    texts = column.dropna().astype(str).str.strip()
    return bool(pd.to_numeric(texts[texts != ""], errors="coerce").notna().all())


def as_order(column: pd.Series, path: Path) -> np.ndarray:
    """A time column as float64 that sorts like it: numbers as they are, dates as seconds."""
    name = column.name
    if column.isna().any():
        row = int(np.flatnonzero(column.isna())[0]) + 1
        raise DataError(f"{path}: time column '{name}' is empty in row {row}")
    if is_numeric(column):
        return pd.to_numeric(column).to_numpy(dtype=np.float64)
    moments = as_dates(column)
    if moments.isna().any():
        row = int(np.flatnonzero(moments.isna())[0])
        raise DataError(
            f"{path}: time column '{name}' is neither a number nor a date in row {row + 1}: "
            f"'{column.iloc[row]}'; write dates as 2024-01-31 or leave the column out"
        )
    return moments.to_numpy(dtype="datetime64[us]").astype(np.int64) / 1e6


def as_dates(column: pd.Series) -> pd.DatetimeIndex:
    """Dates, months (2024-01) or quarters (2024 Q1) in UTC without zone; NaT for anything else."""
    if pd.api.types.is_datetime64_any_dtype(column):
        dates = pd.DatetimeIndex(column)
        return dates if dates.tz is None else dates.tz_convert("UTC").tz_localize(None)
    texts = column.astype(str).str.strip()
    quarters = texts.str.extract(r"^(\d{4})[ -]?[Qq]([1-4])$")
    if quarters.notna().all(axis=None):
        months = (quarters[1].astype(int) * 3 - 2).astype(str).str.zfill(2)
        texts = quarters[0] + "-" + months
    with warnings.catch_warnings():
        # without a common format the parser warns; what it cannot read is reported by the caller
        warnings.simplefilter("ignore")
        dates = pd.DatetimeIndex(pd.to_datetime(texts, errors="coerce", utc=True))
    return dates.tz_localize(None)


def _parsed(column: pd.Series, name: str, path: Path) -> np.ndarray:
    missing = column.isna()
    texts = column.astype(str).str.strip()
    missing |= texts == ""
    found = pd.to_numeric(texts.where(~missing), errors="coerce")
    wrong = np.flatnonzero(found.isna() & ~missing)
    if len(wrong):
        shown = str(column.iloc[wrong[0]])[:40]
        raise DataError(
            f"{path}: column '{name}' is not numeric in row {wrong[0] + 1}: '{shown}'; "
            "name the columns to use with 'features' or leave it out with 'ignore'"
        )
    return found.to_numpy(dtype=np.float64)


def _parquet(path: Path) -> pd.DataFrame:
    if importlib.util.find_spec("pyarrow") is None:
        raise DataError(f"{path}: Parquet needs pyarrow; try 'pip install archsearch[data]'")
    try:
        table = pd.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not a Parquet file: {_line(error)}") from None
    if any(name is not None for name in table.index.names):
        table = table.reset_index()
    for name in table.columns[[kind.kind == "O" for kind in table.dtypes]]:
        seen = table[name].dropna()
        if len(seen) and isinstance(seen.iloc[0], list | tuple | dict | np.ndarray):
            raise DataError(
                f"{path}: column '{name}' holds lists; write one row per step, with an id column"
            )
    return table


def _delimited(path: Path) -> pd.DataFrame:
    separator = _separator(path)
    fast = importlib.util.find_spec("pyarrow") is not None
    try:
        table = pd.read_csv(
            path, sep=separator, engine="pyarrow" if fast else "c", encoding="utf-8-sig"
        )
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not text in UTF-8") from None
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {_line(error)}") from None
    except ValueError as error:
        _require_even(path, separator)
        raise DataError(f"{path}: is not a table: {_line(error)}") from None
    if not fast:
        _require_even(path, separator)
    return table


def _open_text(path: Path) -> IO[str]:
    if path.name.lower().endswith(".gz"):
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _separator(path: Path) -> str:
    try:
        with _open_text(path) as file:
            start = file.read(1 << 16)
    except UnicodeDecodeError:
        raise DataError(f"{path}: is not text in UTF-8") from None
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {_line(error)}") from None
    if "\0" in start:
        raise DataError(f"{path}: is binary, not a table of text")
    lines = start.strip().splitlines()
    if not lines:
        raise DataError(f"{path}: is empty")
    header = lines[0]
    separator = max((",", "\t", ";"), key=header.count)
    names = [name.strip() for name in next(csv.reader([header], delimiter=separator))]
    twice = sorted({name for name in names if names.count(name) > 1})
    if _all_numbers(names) and not _counts_up(names):
        raise DataError(f"{path}: line 1 holds numbers; add a header line with column names")
    if twice:
        raise DataError(f"{path}: two columns are called '{twice[0]}'")
    return separator


def _require_even(path: Path, separator: str) -> None:
    """Raises DataError when there are no rows, or at a row with more or fewer fields."""
    with _open_text(path) as file:
        rows = csv.reader(file, delimiter=separator)
        try:
            width = len(next(rows))
            filled = False
            for row in rows:
                filled = filled or bool(row)
                if row and len(row) != width:
                    raise DataError(
                        f"{path}: line {rows.line_num} has {len(row)} fields, the header has "
                        f"{width}; end shorter sequences with empty cells"
                    )
        except csv.Error as error:
            raise DataError(f"{path}: line {rows.line_num}: {error}") from None
    if not filled:
        raise DataError(f"{path}: has a header but no rows")


def _counts_rows(column: pd.Series) -> bool:
    return bool(pd.api.types.is_integer_dtype(column)) and bool(
        (column.to_numpy() == np.arange(len(column))).all()
    )


def _all_numbers(names: list[str]) -> bool:
    try:
        return all(np.isfinite(float(name)) for name in names)
    except ValueError:
        return False


def _counts_up(names: list[str]) -> bool:
    first = float(names[0])
    return first in (0.0, 1.0) and all(
        float(name) == first + place for place, name in enumerate(names)
    )


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
