"""How a table of text is written: its separator, its decimal sign, its header line."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO

from archsearch.errors import DataError
from archsearch.tasks.files import encoding_of, not_text

SEPARATORS = (",", "\t", ";", "|")
_SAMPLE = 1 << 16
_POINT = re.compile(r"[-+]?\d*\.\d+([eE][-+]?\d+)?")
_COMMA = re.compile(r"[-+]?\d*,\d+([eE][-+]?\d+)?")
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")


@dataclass(frozen=True)
class Dialect:
    """``decimal`` is a point or a comma. ``texts`` are columns with whole numbers like 007, which
    are names: as numbers they would lose their zeros.
    """

    separator: str
    decimal: str
    texts: tuple[str, ...]


def dialect_of(path: Path) -> Dialect:
    """The dialect, from the first 64 KiB; raises DataError when they are no table with a header."""
    start = _start(path)
    lines = start.strip("\r\n\ufeff").splitlines()
    if not start.strip():
        raise DataError(f"{path}: is empty")
    header = re.sub(r'"[^"]*"', "", lines[0])
    separator = max(SEPARATORS, key=header.count)
    rows = _rows(lines if len(start) < _SAMPLE else lines[:-1], separator)
    names = rows[0] if rows else [lines[0]]
    _require_names([name.strip() for name in names], path)
    return Dialect(separator, _decimal(rows[1:], separator), _texts(names, rows[1:]))


def open_text(path: Path) -> IO[str]:
    """The file for reading, decompressed where its name says so."""
    if path.name.lower().endswith(".gz"):
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding=encoding_of(path), newline="")
    return path.open(encoding=encoding_of(path), newline="")


def require_even(path: Path, separator: str) -> None:
    """Raises DataError when there are no rows, or at a row with more or fewer fields."""
    with open_text(path) as file:
        rows = csv.reader(file, delimiter=separator)
        try:
            width, filled, begins = len(next(rows)), False, rows.line_num + 1
            for row in rows:
                filled = filled or bool(row)
                if row and len(row) != width:
                    raise DataError(f"{path}: {_uneven(row, width, begins)}")
                begins = rows.line_num + 1
        except csv.Error as error:
            raise DataError(f"{path}: line {rows.line_num}: {error}") from None
    if not filled:
        raise DataError(f"{path}: has a header but no rows")


def _start(path: Path) -> str:
    try:
        with open_text(path) as file:
            start = file.read(_SAMPLE)
    except UnicodeError:
        raise not_text(path) from None
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if "\0" in start:
        raise DataError(f"{path}: is binary, not a table of text")
    return start


def _rows(lines: list[str], separator: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(lines, delimiter=separator) if row]
    except csv.Error:
        return []


def _require_names(names: list[str], path: Path) -> None:
    numbers = [float(name) for name in names if _is_number(name)]
    steps = [after - before for before, after in pairwise(numbers)]
    # the names of steps grow: 0, 1, 2, or 400.5, 401.0; a row of values does so by accident only
    growing = all(step > 0 for step in steps)
    counted = numbers[0] in (0.0, 1.0) and all(step == 1 for step in steps) if numbers else False
    if (len(numbers) == len(names) and not counted) or (len(numbers) > 1 and not growing):
        raise DataError(f"{path}: line 1 holds numbers; add a header line with column names")
    twice = [name for name, count in Counter(filter(None, names)).items() if count > 1]
    if twice:
        raise DataError(f"{path}: two columns are called '{twice[0]}'; rename one of them")


def _decimal(rows: list[list[str]], separator: str) -> str:
    if separator == ",":
        return "."
    fields = [field.strip() for row in rows for field in row]
    commas = [field for field in fields if _COMMA.fullmatch(field)]
    # 12,345 may be twelve thousand: at least one field must be a decimal for certain
    certain = any(not _THOUSANDS.fullmatch(field) for field in commas)
    return "," if certain and not any(_POINT.fullmatch(field) for field in fields) else "."


def _texts(names: list[str], rows: list[list[str]]) -> tuple[str, ...]:
    padded = {
        place
        for row in rows
        for place, field in enumerate(row[: len(names)])
        if len(field) > 1 and field[0] == "0" and field.isdigit()
    }
    return tuple(names[place] for place in sorted(padded) if names[place].strip())


def _uneven(row: list[str], width: int, line: int) -> str:
    counted = f"line {line} has {len(row)} fields, the header has {width}"
    if "\n" in row[-1]:
        return f"line {line}: a quote is opened and not closed"
    if width == 1:
        return f"{counted}; line 1 must name every column"
    if len(row) > width:
        return f"{counted}; quote a text that holds the separator"
    return f"{counted}; end shorter sequences with empty cells"


def _is_number(name: str) -> bool:
    try:
        return abs(float(name)) < float("inf")
    except ValueError:
        return False
