"""Columns of a table as numbers: what counts as one, as missing, or as a fault with its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from archsearch.errors import DataError

# far inside single precision, so that squares and sums stay finite
LARGEST = 1e30
SPELLING = "write numbers with a decimal point and without thousands separators"
# missing among numbers, beside what the readers already know
_MISSING = ("", "?", "NA", "N/A", "n/a", "nan", "NaN", "NAN", "null", "NULL", "None", "#N/A")


def as_numbers(table: pd.DataFrame, columns: list[str], path: Path) -> np.ndarray:
    """The columns as float64 (rows, columns), NaN where missing; raises DataError at a text."""
    numbers = np.empty((len(table), len(columns)), dtype=np.float64)
    for place, name in enumerate(columns):
        numbers[:, place], wrong = parsed(table[name])
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            shown = str(table[name].iloc[row])[:40]
            raise DataError(
                f"{path}: column '{name}' is not numeric in row {row + 1}: '{shown}'; "
                f"{_remedy(shown, wrong, name)}"
            )
    beyond = np.argwhere(np.abs(numbers) > LARGEST)
    if len(beyond):
        row, place = beyond[0]
        raise DataError(
            f"{path}: column '{columns[place]}' is {numbers[row, place]:g} in row {row + 1}; "
            f"values must lie within {LARGEST:g} of 0, and a missing one is an empty cell"
        )
    return numbers


def parsed(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Float64 numbers, NaN where there is none, and where a value is there but is not a number."""
    if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) == "boolean":
        column = column.astype("boolean")
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        numbers = column.to_numpy(dtype=np.float64, na_value=np.nan)
        return numbers, np.zeros(len(column), dtype=bool)
    missing = column.isna()
    if pd.api.types.is_datetime64_any_dtype(column):
        return np.full(len(column), np.nan), ~missing.to_numpy()
    texts = column.astype(str).str.strip()
    missing |= texts.isin(_MISSING)
    found = pd.to_numeric(texts.where(~missing), errors="coerce").to_numpy(dtype=np.float64)
    return found, np.isnan(found) & ~missing.to_numpy()


def is_numeric(column: pd.Series) -> bool:
    """Whether most of the values that are not missing are numbers; so one slip is reported."""
    numbers, wrong = parsed(column)
    return bool(np.count_nonzero(wrong) <= np.count_nonzero(~np.isnan(numbers)))


def is_spelled_otherwise(text: str) -> bool:
    """Whether a text is a number with a decimal comma, or with thousands set apart."""
    return "," in text and text.strip(" +-").replace(",", "").replace(".", "").isdigit()


def _remedy(shown: str, wrong: np.ndarray, name: str) -> str:
    if is_spelled_otherwise(shown):
        return SPELLING
    if wrong.mean() < 0.5:
        return f"correct it, empty the cell if the value is missing, or set 'ignore: {name}'"
    return "name the columns to use with 'features' or leave it out with 'ignore'"
