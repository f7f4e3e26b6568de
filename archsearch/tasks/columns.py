"""Which column of a table plays which part: named in the options, or found by its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from archsearch.errors import DataError
from archsearch.tasks.tables import column_named, is_numeric

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


@dataclass(frozen=True)
class Roles:
    """The columns of a labelled table; ``features`` are the steps (wide) or channels (long)."""

    layout: str
    target: str | None
    id: str | None
    time: str | None
    features: tuple[str, ...]
    notes: tuple[str, ...] = ()


def names_in(option: object) -> list[str]:
    """The parts of an option that lists columns, separated by commas."""
    return [part.strip() for part in str(option or "").split(",") if part.strip()]


def known_as(table: pd.DataFrame, names: tuple[str, ...]) -> str | None:
    """The first column whose name, whatever its case, is one of ``names``."""
    lowered = {str(column).lower(): str(column) for column in reversed(list(table.columns))}
    return next((lowered[name] for name in names if name in lowered), None)


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
    ignored = {column_named(table, name, "ignore", path) for name in names_in(options["ignore"])}
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
    features, notes = _features(table, options, free, layout, path)
    if target in features:
        raise DataError(f"{path}: column '{target}' cannot be both target and feature")
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
    chosen = names_in(options["features"])
    if chosen:
        return tuple(column_named(table, name, "features", path) for name in chosen), ()
    notes: tuple[str, ...] = ()
    if layout == "long":
        texts = [name for name in free if not is_numeric(table[name])]
        notes = tuple(f"column '{name}' is left out: not numeric" for name in texts)
        free = [name for name in free if name not in texts]
    if not free:
        raise DataError(f"{path}: no column is left to be used as input; see 'features'")
    return tuple(free), notes
