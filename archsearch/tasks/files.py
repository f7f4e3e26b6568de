"""A file of the user's: that it is one, that it can be read, and what it is when it is no text."""

from __future__ import annotations

import codecs
import gzip
import stat
from pathlib import Path

from archsearch.errors import DataError
from archsearch.spec.catalog import suggestion

# how a file begins -> what it is, and what to do about it
_BEGINNINGS = {
    b"PAR1": "is a Parquet file; let its name end in .parquet",
    b"\x1f\x8b": "is compressed; let its name end in .csv.gz",
    b"PK\x03\x04": "is a spreadsheet or an archive; export a .csv from it",
    b"\xff\xfe\0\0": "is text in UTF-32; save it in UTF-8",
    b"\0\0\xfe\xff": "is text in UTF-32; save it in UTF-8",
    codecs.BOM_UTF16_LE: "is damaged text in UTF-16; save it in UTF-8",
    codecs.BOM_UTF16_BE: "is damaged text in UTF-16; save it in UTF-8",
}
UTF_8 = "utf-8-sig"


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


def encoding_of(path: Path) -> str:
    """UTF-16 where the byte order mark that a text begins with says so, else UTF-8."""
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    # in UTF-32, which is not read, the mark goes on with zeros
    start = _start(path)
    return "utf-16" if start[:2] in marks and start[2:] != b"\0\0" else UTF_8


def not_text(path: Path) -> DataError:
    """The error for a file that is no text, by what it looks like."""
    start = _start(path)
    for beginning, words in _BEGINNINGS.items():
        if start.startswith(beginning):
            return DataError(f"{path}: {words}")
    return DataError(f"{path}: is not text in UTF-8; save it in UTF-8")


def _start(path: Path) -> bytes:
    """The first four bytes, decompressed where its name says so."""
    opened = gzip.open if path.name.lower().endswith(".gz") else open
    with opened(path, "rb") as file:
        return file.read(4)


def _beside(path: Path) -> list[str]:
    try:
        return [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return []
