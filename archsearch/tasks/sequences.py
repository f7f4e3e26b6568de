"""Sequences of any lengths, laid end to end, as they stand in a table, an archive or an array."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from archsearch.errors import DataError
from archsearch.tasks.columns import Roles
from archsearch.tasks.times import as_order
from archsearch.tasks.values import LARGEST, as_numbers

LONGEST_LABEL = 200


@dataclass(frozen=True)
class Sequences:
    """``values`` float64 (all steps, channels), NaN where missing; sequence i is the steps
    ``starts[i]`` to ``starts[i + 1]``. ``labels`` are the raw targets or None; ``ids`` name rows.
    """

    values: np.ndarray
    starts: np.ndarray
    labels: np.ndarray | None
    ids: np.ndarray
    channels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)


def joined(first: Sequences, second: Sequences) -> Sequences:
    """Both, one after the other; the channels must be as many."""
    labels = None
    if first.labels is not None and second.labels is not None:
        labels = np.concatenate([first.labels, second.labels])
    return Sequences(
        np.concatenate([first.values, second.values]),
        np.concatenate([first.starts, second.starts[1:] + first.starts[-1]]),
        labels,
        np.concatenate([first.ids.astype(object), second.ids.astype(object)]),
        first.channels,
    )


def from_table(table: pd.DataFrame, roles: Roles, path: Path) -> Sequences:
    """One sequence per row (wide) or per id (long); raises DataError with row or id."""
    if roles.layout == "wide":
        return _from_wide(table, roles, path)
    return _from_long(table, roles, path)


def from_cases(cases: list[np.ndarray], labels: np.ndarray | None, where: object) -> Sequences:
    """Sequences of arrays (steps, channels); steps at the end with no value at all are cut off."""
    trimmed = []
    for place, case in enumerate(cases):
        seen = np.flatnonzero(~np.isnan(case).all(axis=1))
        if not len(seen):
            raise DataError(f"{where}: sequence {place + 1} has no values")
        if (np.abs(case) > LARGEST).any():
            raise DataError(
                f"{where}: sequence {place + 1} has a value that is not within {LARGEST:g} of 0"
            )
        trimmed.append(case[: seen[-1] + 1])
    starts = np.concatenate([[0], np.cumsum([len(case) for case in trimmed])])
    channels = tuple(f"channel {place}" for place in range(trimmed[0].shape[1]))
    ids = np.arange(1, len(trimmed) + 1)
    return Sequences(np.concatenate(trimmed), starts.astype(np.int64), labels, ids, channels)


def from_arrays(path: Path, target: str | None, labelled: bool = True) -> Sequences:
    """An .npz with x (n, T) or (n, T, C) and y (n,); objects in it are refused, never unpickled."""
    arrays: dict[str, np.ndarray] = {}
    answer = target or "y"
    wanted = ("x", answer) if labelled else ("x",)
    try:
        with path.open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            if isinstance(stored, np.ndarray):
                raise DataError(f"{path}: holds one array; write x and y with numpy.savez")
            for name in wanted:
                if name not in stored.files:
                    shown = ", ".join(sorted(stored.files)) or "none"
                    raise DataError(f"{path}: has no array '{name}'; its arrays are {shown}")
                arrays[name] = stored[name]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, MemoryError) as e:
        reason = " ".join(str(e).split()) or type(e).__name__
        if "allow_pickle" in reason:
            reason = "Object arrays are not read; pad x with NaN, and let y be numbers or texts"
        raise DataError(f"{path}: is not a readable .npz: {reason[:160]}") from None
    x = arrays["x"]
    if x.dtype.kind not in "fiub" or x.ndim not in (2, 3) or 0 in x.shape:
        raise DataError(
            f"{path}: x must be numbers of shape (n, T) or (n, T, C), got {x.dtype} {x.shape}"
        )
    labels: np.ndarray | None = None
    if labelled:
        labels = arrays[answer]
        labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
        if labels.shape != x.shape[:1]:
            raise DataError(f"{path}: y must have shape ({len(x)},), got {labels.shape}")
        if labels.dtype.kind not in "fiubSU":
            raise DataError(f"{path}: {answer} must be numbers or texts, got {labels.dtype}")
        if labels.dtype.kind == "S":
            labels = np.char.decode(labels, "utf-8", "replace")
        missing = np.flatnonzero(pd.isna(labels))
        if len(missing):
            raise DataError(
                f"{path}: {answer} is missing for {len(missing)} sequences, first for sequence "
                f"{missing[0] + 1}; fill them in or remove the sequences"
            )
    cases = x.astype(np.float64)
    return from_cases(list(cases if x.ndim == 3 else cases[..., None]), labels, path)


def _from_wide(table: pd.DataFrame, roles: Roles, path: Path) -> Sequences:
    numbers = as_numbers(table, list(roles.features), path)
    seen = ~np.isnan(numbers)
    lengths = numbers.shape[1] - np.argmax(seen[:, ::-1], axis=1)
    void = np.flatnonzero(~seen.any(axis=1))
    if len(void) == len(table):
        raise DataError(f"{path}: the columns used as input have no values; see 'features'")
    if len(void):
        raise DataError(
            f"{path}: {len(void)} of {len(table)} rows have no values, first row {void[0] + 1}; "
            "remove them"
        )
    kept = np.arange(numbers.shape[1]) < lengths[:, None]
    return Sequences(
        numbers[kept][:, None],
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        None if roles.target is None else _labels(table[roles.target], path),
        np.arange(1, len(table) + 1) if roles.id is None else table[roles.id].to_numpy(),
        ("value",),
    )


def _from_long(table: pd.DataFrame, roles: Roles, path: Path) -> Sequences:
    codes, ids = grouped(table, str(roles.id), path)
    order = in_order(table, codes, ids, roles.time, path)
    starts = np.concatenate([[0], np.cumsum(np.bincount(codes))]).astype(np.int64)
    labels = None
    if roles.target is not None:
        # a label may stand in some rows of a sequence only
        filled = table[roles.target].groupby(codes).transform("first")
        column = _labels(table[roles.target].where(table[roles.target].notna(), filled), path)
        column = column[order]
        labels = column[starts[:-1]]
        changed = np.flatnonzero(column != np.repeat(labels, np.diff(starts)))
        if len(changed):
            name = ids[codes[order[changed[0]]]]
            raise DataError(
                f"{path}: target '{roles.target}' changes within '{roles.id}' {name}; it must be "
                "the same in all rows of a sequence (name another column with 'target')"
            )
    values = as_numbers(table, list(roles.features), path)[order]
    return Sequences(values, starts, labels, ids, roles.features)


def grouped(table: pd.DataFrame, identity: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """For every row the number of its group, in order of appearance, and the groups' names."""
    codes, ids = pd.factorize(table[identity])
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0]) + 1
        raise DataError(f"{path}: id column '{identity}' is empty in row {row}")
    if pd.api.types.is_float_dtype(ids) and np.abs(ids).max() >= 2**53:
        raise DataError(
            f"{path}: ids in '{identity}' are too large to be told apart as numbers; put a letter "
            "before them"
        )
    return codes, np.asarray(ids)


def in_order(
    table: pd.DataFrame, codes: np.ndarray, ids: np.ndarray, time: str | None, path: Path
) -> np.ndarray:
    """The rows group by group, by time within a group; raises DataError at a repeated time."""
    if time is None:
        return np.argsort(codes, kind="stable")
    moments = as_order(table[time], path)
    order = np.lexsort((moments, codes))
    same = (np.diff(codes[order]) == 0) & (np.diff(moments[order]) == 0)
    if same.any():
        row = int(order[np.flatnonzero(same)[0] + 1])
        raise DataError(
            f"{path}: time '{table[time].iloc[row]}' occurs twice"
            + (f" in {ids[codes[row]]}" if len(ids) > 1 else "")
            + f", see row {row + 1}; name an id column with 'id' or leave the second row out"
        )
    return order


def _labels(column: pd.Series, path: Path) -> Any:
    """The answers: numbers as they are, all else as texts; raises DataError where one is missing
    or is too long to be one.
    """
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        found, missing = column.to_numpy(), column.isna()
    else:
        texts = column.astype(object).map(_text).astype(object)
        found, missing = texts.to_numpy(dtype=object), column.isna() | (texts == "")
    empty = np.flatnonzero(missing)
    if len(empty):
        raise DataError(
            f"{path}: target '{column.name}' is missing in {len(empty)} rows, first in row "
            f"{empty[0] + 1} (NA, NaN, null and None count as missing); fill them in or remove "
            "the rows"
        )
    if found.dtype == object:
        lengths = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        if lengths.max() > LONGEST_LABEL:
            row = int(lengths.argmax())
            raise DataError(
                f"{path}: target '{column.name}' is a text of {lengths[row]} characters in row "
                f"{row + 1}; name another column with 'target'"
            )
    return found


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace").strip()
    return str(value).strip()
