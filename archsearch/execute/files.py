"""A file that appears under its name whole or not at all, also when the power goes."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from archsearch.failpoints import failpoint

UNFINISHED = ".tmp"


@contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Bytes written here are the file ``path`` once the block ends; its folder is made if need be.

    They go to a file beside it, which is synced, renamed, and its folder synced. A crash at any
    moment leaves the old file or the new one, never a part; an exception removes what was begun.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = f".{path.name}.{os.getpid()}.{threading.get_ident()}{UNFINISHED}"
    unfinished = path.with_name(beside)
    try:
        with unfinished.open("wb") as stream:
            failpoint("file.write")
            yield stream
            stream.flush()
            failpoint("file.sync")
            os.fsync(stream.fileno())
        failpoint("file.rename")
        unfinished.replace(path)
    except BaseException as error:
        unfinished.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and error.filename is None:
            # a write that fails knows its file by a number only
            error.filename = str(path)
        raise
    failpoint("file.sync-folder")
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
