"""Which column of a table plays which part: named in the options, or found by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from archsearch.errors import DataError
from archsearch.tasks.numbered import note_on_steps
from archsearch.tasks.tables import column_named, row_counters
from archsearch.tasks.times import note_on_dates
from archsearch.tasks.values import SPELLING, is_numeric, is_spelled_otherwise

IDS = (
    "id",
    "series",
    "series_id",
    "sequence",
    "sequence_id",
    "seq_id",
    "unique_id",
    "uid",
    "case",
    "case_id",
    "sample_id",
)
TIMES = ("time", "t", "step", "timestamp", "date", "datetime", "ds", "time_step")
ANSWERS = ("target", "label", "class", "y")
COUNTING = "a count of the rows"
UNTIMED = "no time column: steps are in the order of the file"


@dataclass(frozen=True)
class Roles:
    """The columns of a labelled table; ``features`` are the steps (wide) or channels (long)."""

    layout: str
    target: str | None
    id: str | None
    time: str | None
    features: tuple[str, ...]
    notes: tuple[str, ...] = ()


def columns_in(table: pd.DataFrame, option: object, role: str, path: Path) -> list[str]:
    """The columns that an option lists, separated by commas; a name may hold commas, too."""
    parts, found = _parts(option), []
    whole = {",".join(_parts(name)): str(name) for name in table.columns}
    longest = max(1 + name.count(",") for name in whole)
    while parts:
        sizes = range(min(longest, len(parts)), 0, -1)
        size = next((size for size in sizes if ",".join(parts[:size]) in whole), 1)
        name = ",".join(parts[:size])
        found.append(whole.get(name) or column_named(table, name, role, path))
        parts = parts[size:]
    return found


def _parts(option: object) -> list[str]:
    return [part.strip() for part in str(option or "").split(",") if part.strip()]


def known_as(table: pd.DataFrame, names: tuple[str, ...]) -> str | None:
    """The first column whose name, whatever its case, is one of ``names``."""
    lowered = {str(column).lower(): str(column) for column in reversed(list(table.columns))}
    return next((lowered[name] for name in names if name in lowered), None)


def some(names: list[str]) -> str:
    """The first five names, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(name if len(name) <= 40 else f"{name[:37]}..." for name in names[:5]) + more


def left_out(names: list[str], why: str) -> tuple[str, ...]:
    """One note on columns that are not used; none without any."""
    if not names:
        return ()
    shown = some([f"'{name}'" for name in names])
    return (f"column{'s'[: len(names) != 1]} {shown} left out: {why}",)


def assign_roles(
    table: pd.DataFrame, options: Mapping[str, Any], path: Path, labelled: bool = True
) -> Roles:
    """The part of every column; raises DataError when one is missing or the layout is unclear.

    Without ``labelled`` the table need not have a target; one that looks like it is left out.
    """
    named = {
        role: column_named(table, str(options[role]), role, path)
        for role in ("id", "time", "target")
        if options.get(role) is not None and (labelled or role != "target")
    }
    ignored = set(columns_in(table, options["ignore"], "ignore", path))
    wanted = {*named.values(), *columns_in(table, options["features"], "features", path), *ignored}
    counters = [name for name in row_counters(table) if name not in wanted]
    notes = left_out(counters, COUNTING)
    ignored |= set(counters)
    kept = table[[name for name in table.columns if name not in ignored]]
    identity = named.get("id") or known_as(kept, IDS)
    layout = str(options["layout"])
    if layout == "auto":
        repeats = identity is not None and bool(table[identity].duplicated().any())
        layout = "long" if repeats else "wide"
    if layout == "long" and identity is None:
        raise DataError(f"{path}: layout long needs an id column; name it with 'id'")
    if layout == "wide" and "time" in named:
        raise DataError(
            f"{path}: a time column needs the layout long, and an id column with repeated values"
        )
    time = named.get("time") or (known_as(kept, TIMES) if layout == "long" else None)
    target = named.get("target") or known_as(kept, ANSWERS)
    free = [name for name in kept.columns if name not in (identity, time, target)]
    if target is None and labelled:
        if not free:
            raise DataError(f"{path}: no column is left for the target; name it with 'target'")
        target = free.pop()
    features, more = _features(table, options, free, layout, path)
    if target in features:
        raise DataError(f"{path}: column '{target}' cannot be both target and feature")
    notes += more
    if time is not None:
        notes += note_on_dates(table[time])
    elif layout == "long":
        notes += (UNTIMED,)
    elif not options["features"]:
        notes += note_on_steps(features)
    if options["layout"] == "auto" and layout == "wide" and (clock := _clock(features)):
        notes += (
            f"column '{clock}' is taken as a step of a row; if rows are the steps of longer "
            "sequences, name the column that tells the sequences apart with 'id'",
        )
    return Roles(layout, target, identity, time, features, notes)


def same_roles(table: pd.DataFrame, roles: Roles, path: Path, labelled: bool = True) -> Roles:
    """The roles found in one table, for another; raises DataError when a column is not there.

    A wide table may lack the id column, and without ``labelled`` the target.
    """
    for name in roles.features:
        column_named(table, name, "feature", path)
    if labelled and roles.target is not None:
        column_named(table, roles.target, "target", path)
    if roles.layout == "wide":
        free = table[[name for name in table.columns if name not in roles.features]]
        return replace(roles, id=roles.id if roles.id in free.columns else known_as(free, IDS))
    column_named(table, str(roles.id), "id", path)
    if roles.time is not None:
        column_named(table, roles.time, "time", path)
    return roles


def _features(
    table: pd.DataFrame, options: Mapping[str, Any], free: list[str], layout: str, path: Path
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    chosen = columns_in(table, options["features"], "features", path)
    if chosen:
        return tuple(chosen), ()
    texts = [name for name in free if not is_numeric(table[name])]
    if layout == "wide" and texts:
        raise DataError(f"{path}: {_not_numeric(table, texts)}")
    notes = left_out(texts, "not numeric")
    if layout == "wide":
        # empty columns at the end are steps that no sequence of this file reaches
        filled = table[free].notna().any()
        last = max((place for place, name in enumerate(free) if filled[name]), default=-1)
        void = [name for name in free[:last] if not filled[name]]
        notes, texts = left_out(void, "without values"), void
    free = [name for name in free if name not in set(texts)]
    if not free and len(table.columns) < 3:
        raise DataError(
            f"{path}: no column is left to be used as input, there is only "
            f"'{', '.join(map(str, table.columns))[:60]}'; separate columns by comma, semicolon, "
            "tab or '|'"
        )
    if not free:
        raise DataError(f"{path}: no column is left to be used as input; see 'features'")
    return tuple(free), notes


def _not_numeric(table: pd.DataFrame, texts: list[str]) -> str:
    row = int(table[texts[0]].notna().to_numpy().argmax())
    shown = str(table[texts[0]].iloc[row])[:40]
    words = f"column '{texts[0]}' is not numeric in row {row + 1}: '{shown}'"
    if len(texts) > 1:
        words += f", nor are {len(texts) - 1} others"
    if is_spelled_otherwise(shown):
        return f"{words}; {SPELLING}"
    names = ", ".join(texts) if len(texts) <= 5 else "..."
    words += f"; leave out what is no step with 'ignore: {names}'"
    groups = [name for name in texts if table[name].duplicated().any()]
    if groups:
        words += f", or if '{groups[0]}' names the sequence of a row, set 'id: {groups[0]}'"
    return words


def _clock(features: tuple[str, ...]) -> str | None:
    return next((name for name in features if name.lower() in TIMES and name.lower() != "t"), None)
