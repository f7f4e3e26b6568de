"""A file of the user's: that it is one, that it can be read, and what it is when it is no text."""

from __future__ import annotations

import stat
from pathlib import Path

from archsearch.errors import DataError
from archsearch.spec.catalog import suggestion

# how a file begins -> what it is, and what to do about it
_BEGINNINGS = {
    b"PAR1": "is a Parquet file; let its name end in .parquet",
    b"\x1f\x8b": "is compressed; let its name end in .csv.gz",
    b"PK\x03\x04": "is a spreadsheet or an archive; export a .csv from it",
    b"\xff\xfe": "is text in UTF-16; save it in UTF-8",
    b"\xfe\xff": "is text in UTF-16; save it in UTF-8",
}


def require_file(path: Path) -> None:
    """Raises DataError unless the path is a regular file with something in it; never waits."""
    try:
        found = path.stat()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file{suggestion(path.name, _beside(path))}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if stat.S_ISDIR(found.st_mode):
        raise DataError(f"{path}: is a folder; name a file")
    # reading a pipe would wait for its writer, and a device may have no end
    if not stat.S_ISREG(found.st_mode):
        raise DataError(f"{path}: is a pipe or a device; write its content into a file")
    if not found.st_size:
        raise DataError(f"{path}: is empty")
    try:
        path.open("rb").close()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def not_text(path: Path) -> DataError:
    """The error for a file that is not UTF-8, by what it looks like."""
    with path.open("rb") as file:
        start = file.read(4)
    for beginning, words in _BEGINNINGS.items():
        if start.startswith(beginning):
            return DataError(f"{path}: {words}")
    return DataError(f"{path}: is not text in UTF-8; save it in UTF-8")


def _beside(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return []
