"""Writes a folder that appears whole or not at all, and replaces nothing but its own kind."""

from __future__ import annotations

import ctypes
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from archsearch.errors import MAKE_ROOM, InputError, TryAgainError, is_full
from archsearch.failpoints import failpoint

Result = TypeVar("Result")
# linux/fcntl.h and linux/fs.h
AT_FDCWD, RENAME_EXCHANGE = -100, 2


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
    What a process that died left beside it is removed. Raises InputError where anything else is
    in the way or the disk fails, TryAgainError where it is full.
    """
    try:
        check_place(path, files, force=force)
        with _unfinished(path) as fresh:
            for name, data in files.items():
                _write(fresh / name, data)
            _sync_folder(fresh)
            failpoint("export.check")
            result = check(fresh)
            _put_in_place(fresh, path, force=force)
        return result
    except OSError as error:
        reason = f"{path}: cannot be written: {error.strerror or error}"
        if is_full(error):
            raise TryAgainError(f"{reason}; {MAKE_ROOM}") from None
        raise InputError(reason) from None


@contextmanager
def folders_above(path: Path) -> Iterator[None]:
    """The folders in which ``path`` is to lie; those made for it go again where that fails."""
    missing = [above for above in path.parents if not above.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for above in missing:
            with suppress(OSError):
                above.rmdir()
        raise


@contextmanager
def _unfinished(path: Path) -> Iterator[Path]:
    """A new folder beside ``path``, removed at the end; its lock says that its writer lives."""
    beside = f".{path.name}.unfinished-"
    for entry in path.parent.iterdir():
        if entry.name.startswith(beside):
            with suppress(OSError), _locked(entry):
                shutil.rmtree(entry, ignore_errors=True)
    fresh = path.parent / f"{beside}{secrets.token_hex(8)}"
    fresh.mkdir()
    try:
        with _locked(fresh):
            yield fresh
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Held until the end or the death of this process; OSError if another one holds it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


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
    if not there:
        raise InputError(f"{path}: exists and is empty; remove it, or name a new folder")
    if there - {"__pycache__"} != set(names):
        raise InputError(
            f"{path}: exists and holds more than {' and '.join(sorted(names))}; name a new folder"
        )
    if not force:
        raise InputError(f"{path}: exists; name a new folder or add --force to replace it")


def check_folder(path: Path, names: Iterable[str], *, force: bool) -> None:
    """Raise InputError unless a folder with these files can be made, with all above it."""
    if path.parent.is_dir() or path.name in ("", ".."):
        check_place(path, names, force=force)
    above = next(part for part in path.absolute().parents if part.exists())
    if not (above.is_dir() and os.access(above, os.W_OK | os.X_OK)):
        raise InputError(f"{path}: cannot be made, for {above} is no folder that you may write")


def _put_in_place(fresh: Path, path: Path, *, force: bool) -> None:
    """Give the folder its name, in exchange for the one that has it if there is one."""
    failpoint("export.rename")
    if not (force and path.exists()):
        fresh.rename(path)
    elif not _exchanged_at_once(fresh, path):
        _exchange(fresh, path)
    _sync_folder(path.parent)


def _exchanged_at_once(one: Path, other: Path) -> bool:
    """Swap the names of two folders in one step; False where the file system has no such step."""
    library = ctypes.CDLL(None)
    names = AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other)
    return bool(library.renameat2(*names, RENAME_EXCHANGE) == 0)


def _exchange(one: Path, other: Path) -> None:
    """Swap the names of two folders in three steps."""
    aside = one.with_name(f"{one.name}.old")
    other.rename(aside)
    try:
        one.rename(other)
    except OSError:
        aside.rename(other)
        raise
    aside.rename(one)


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
