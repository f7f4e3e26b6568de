"""Writes a folder that appears whole or not at all, and replaces nothing but its own kind."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

from archsearch.errors import InputError

Result = TypeVar("Result")


def write_folder(
    path: Path,
    files: Mapping[str, bytes],
    check: Callable[[Path], Result],
    *,
    force: bool = False,
) -> Result:
    """Write the files into the new folder ``path``; returns what ``check`` says of them.

    They are written to a folder beside it, synced, checked there, and renamed. With ``force`` a
    folder with exactly these files is replaced; the old one stays until the new one is in place.
    Raises InputError where anything else is in the way or the disk fails.
    """
    fresh = path.parent / f".export-{secrets.token_hex(8)}"
    try:
        check_place(path, files, force=force)
        fresh.mkdir()
        for name, data in files.items():
            _write(fresh / name, data)
        _sync_folder(fresh)
        result = check(fresh)
        _put_in_place(fresh, path)
        return result
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def check_place(path: Path, names: Iterable[str], *, force: bool) -> None:
    """Raise InputError unless a folder with these files can be put at ``path``."""
    if path.name in ("", "..") or "\0" in path.name or not path.parent.is_dir():
        raise InputError(f"{path}: expected the name of a new folder inside an existing one")
    if path.is_symlink():
        raise InputError(f"{path}: is a symbolic link; name a new folder")
    if not path.exists():
        return
    # python leaves its own folder beside a source file that was imported
    there = {entry.name for entry in path.iterdir()} if path.is_dir() else {path.name}
    if there - {"__pycache__"} != set(names):
        raise InputError(
            f"{path}: exists and holds more than {' and '.join(sorted(names))}; name a new folder"
        )
    if not force:
        raise InputError(f"{path}: exists; name a new folder or add --force to replace it")


def _put_in_place(fresh: Path, path: Path) -> None:
    """Rename the folder to its name, what it replaces out of the way first."""
    aside = fresh.with_name(f"{fresh.name}.old")
    replaced = path.exists()
    if replaced:
        path.rename(aside)
    try:
        fresh.rename(path)
    except OSError:
        if replaced:
            aside.rename(path)
        raise
    _sync_folder(path.parent)
    if replaced:
        shutil.rmtree(aside, ignore_errors=True)


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
