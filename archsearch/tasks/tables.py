"""Reads CSV and Parquet tables; every fault becomes one line with the file, line or column."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd

from archsearch.errors import DataError
from archsearch.spec.catalog import suggestion
from archsearch.tasks.dialect import Dialect, dialect_of, open_text, require_even
from archsearch.tasks.files import UTF_8, encoding_of, not_text, require_file

TABLES = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet", ".pq")
_UNNAMED = "Unnamed: "
_COUNTERS = ("index", "idx", "row", "rows", "row_number", "rownum", "no", "nr", "#")


def read_table(path: Path) -> pd.DataFrame:
    """The table with its columns as texts, whole numbers, real numbers or dates.

    Separator: comma, semicolon, tab or ``|``, by the first line; decimals with a point, or with a
    comma where that is not the separator. Empty cells are missing values. A column without a name
    is called ``Unnamed: 3`` by its place; without values too it is dropped, as are empty rows at
    the end.
    """
    require_file(path)
    name = path.name.lower()
    table = _parquet(path) if name.endswith((".parquet", ".pq")) else _delimited(path)
    names = [str(name).strip() for name in table.columns]
    table.columns = [name or _unnamed(place, names) for place, name in enumerate(names)]
    twice = table.columns[table.columns.duplicated()]
    if len(twice):
        raise DataError(f"{path}: two columns are called '{twice[0]}'; rename one of them")
    void = [name for name in table.columns if _is_unnamed(name) and table[name].isna().all()]
    table = table.drop(columns=void)
    if not len(table.columns):
        raise DataError(f"{path}: has no columns")
    if len(table) and table.iloc[-1].isna().all():
        filled = np.flatnonzero(table.notna().any(axis=1))
        table = table.iloc[: filled[-1] + 1 if len(filled) else 0]
    if not len(table):
        raise DataError(f"{path}: has a header but no rows")
    return table


def column_named(table: pd.DataFrame, wanted: str, role: str, path: Path) -> str:
    """``wanted`` if the table has it; raises DataError with what may have been meant."""
    if wanted not in table.columns:
        names = list(table.columns)
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        hint = suggestion(wanted, names) or f"; its columns are {shown}"
        raise DataError(f"{path}: no column '{wanted}' ({role}){hint}")
    return wanted


def row_counters(table: pd.DataFrame) -> list[str]:
    """The columns at the front that only number the rows, as an index that was saved along does."""
    found = []
    for name in table.columns[:-1]:
        if not _counts(str(name), table[name]):
            break
        found.append(str(name))
    return found


def _counts(name: str, column: pd.Series) -> bool:
    if not pd.api.types.is_integer_dtype(column) or column.hasnans:
        return False
    if _is_unnamed(name) or name == "__index_level_0__":
        return bool(column.is_unique)
    places = column.to_numpy() - np.arange(len(column))
    return name.lower() in _COUNTERS and places[0] in (0, 1) and bool((places == places[0]).all())


def _unnamed(place: int, names: list[str]) -> str:
    name = f"{_UNNAMED}{place}"
    return name if name not in names else f"{name}.1"


def _is_unnamed(name: str) -> bool:
    return name.startswith(_UNNAMED) and name.removeprefix(_UNNAMED).replace(".", "").isdigit()


def _parquet(path: Path) -> pd.DataFrame:
    if importlib.util.find_spec("pyarrow") is None:
        raise DataError(f"{path}: Parquet needs pyarrow; try 'pip install archsearch[data]'")
    import pyarrow
    from pyarrow import parquet

    try:
        schema = parquet.read_schema(path)
        for field in schema:
            if pyarrow.types.is_nested(field.type):
                raise DataError(
                    f"{path}: column '{field.name}' holds lists; write one row per step, "
                    "with an id column"
                )
        twice = [name for name in schema.names if schema.names.count(name) > 1]
        if twice:
            raise DataError(f"{path}: two columns are called '{twice[0]}'; rename one of them")
        table = pd.read_parquet(path, engine="pyarrow")
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: is not a readable Parquet file: {_line(error)}") from None
    if any(name is not None for name in table.index.names):
        table = table.reset_index()
    return table


def _delimited(path: Path) -> pd.DataFrame:
    dialect = dialect_of(path)
    # the fast reader cannot be told which columns are texts
    fast = importlib.util.find_spec("pyarrow") is not None and not dialect.texts
    fast = fast and encoding_of(path) == UTF_8
    table = _rows(path, dialect, fast)
    if fast and any(isinstance(kind, pd.DatetimeTZDtype) for kind in table.dtypes):
        # the fast reader drops the offsets from UTC that times are written with
        fast, table = False, _rows(path, dialect, fast=False)
    if not fast:
        require_even(path, dialect.separator)
    _require_closed(table, path)
    return table


def _rows(path: Path, dialect: Dialect, fast: bool) -> pd.DataFrame:
    try:
        return pd.read_csv(
            path,
            sep=dialect.separator,
            decimal=dialect.decimal,
            dtype=dict.fromkeys(dialect.texts, str) or None,
            engine="pyarrow" if fast else "c",
            encoding=encoding_of(path),
        )
    except UnicodeError:
        raise not_text(path) from None
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {_line(error)}") from None
    except ValueError as error:
        require_even(path, dialect.separator)
        raise DataError(f"{path}: is not a table: {_line(error)}") from None


def _require_closed(table: pd.DataFrame, path: Path) -> None:
    """Raises DataError when a quote that is never closed swallowed the rest of the file."""
    last = [value for value in table.iloc[-1:].to_numpy().ravel() if isinstance(value, str)]
    if not any("\n" in value for value in last):
        return
    with open_text(path) as file:
        if sum(line.count('"') for line in file) % 2:
            raise DataError(f"{path}: a quote is opened in row {len(table)} and not closed")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
