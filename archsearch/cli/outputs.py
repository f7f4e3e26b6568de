"""Files that a command writes when its work is done: looked at before, and never left in part."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from archsearch.errors import InputError


def check_output(path: Path) -> None:
    """Raise InputError unless a file can be written there."""
    if not path.parent.is_dir():
        raise InputError(f"{path}: its folder does not exist; make it first")
    if path.is_dir():
        raise InputError(f"{path}: is a folder; name a file")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"{path}: is not for you to write; name another file")


@contextmanager
def no_part_of(path: Path) -> Iterator[None]:
    """What a block that writes the file leaves of it where the disk fails is removed."""
    try:
        yield
    except OSError as error:
        if path.is_file():
            path.unlink()
        # a write that fails knows its file by a number only
        error.filename = error.filename or str(path)
        raise
