"""Where labelled sequences come from: finds the reader for a file and the test split beside it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from archsearch.errors import DataError
from archsearch.tasks.archives import located, official_test
from archsearch.tasks.columns import Roles, assign_roles, same_roles
from archsearch.tasks.files import require_file
from archsearch.tasks.sequences import Sequences, from_arrays, from_table
from archsearch.tasks.tables import TABLES, read_table
from archsearch.tasks.ts_files import read_archive


@dataclass(frozen=True)
class Source:
    """All labelled sequences, the test split apart when there is one, and the files' digest."""

    sequences: Sequences
    test: Sequences | None
    roles: Roles | None
    digest: str


def read_source(options: Mapping[str, Any]) -> Source:
    """Reads ``data`` and ``test``; raises DataError with the file and the place."""
    name = str(options["data"])
    path = located(name, "ucr")
    given = options["test"]
    test = Path(given) if given is not None else official_test(path)
    sequences, roles = read_labelled(path, options)
    held = None
    if test is not None:
        held, _ = read_labelled(test, options, roles)
        if held.values.shape[1] != sequences.values.shape[1]:
            raise DataError(
                f"{test}: has {held.values.shape[1]} channels, the training data has "
                f"{sequences.values.shape[1]}"
            )
        if files_digest([test]) == files_digest([path]):
            raise DataError(f"{test}: the test split is the training data; name another file")
    return Source(sequences, held, roles, files_digest([path, *([test] if test else [])]))


def read_labelled(
    path: Path, options: Mapping[str, Any], roles: Roles | None = None, labelled: bool = True
) -> tuple[Sequences, Roles | None]:
    """The sequences of one file and, for a table, what its columns are.

    With ``roles`` a table must have the columns they name; otherwise they are found anew.
    """
    require_file(path)
    name = path.name.lower()
    if name.endswith(".ts"):
        return read_archive(path, labelled), None
    if name.endswith(".npz"):
        return from_arrays(path, options["target"], labelled), None
    if not name.endswith(TABLES):
        known = ", ".join((*TABLES, ".npz", ".ts"))
        raise DataError(f"{path}: no reader for this kind of file; there are readers for {known}")
    table = read_table(path)
    if roles is None:
        roles = assign_roles(table, options, path, labelled)
    else:
        roles = same_roles(table, roles, path, labelled)
    if not labelled:
        roles = replace(roles, target=None)
    return from_table(table, roles, path), roles


def files_digest(paths: list[Path]) -> str:
    """Names the bytes of the files, wherever they lie and whatever they are called."""
    found = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()
