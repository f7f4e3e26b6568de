"""Opens and parses files that a stranger may have written, within limits and without surprises."""

from __future__ import annotations

import contextlib
import json
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from archsearch.errors import StateError

# the names of half a million columns
LARGEST_JSON = 1 << 24


@contextlib.contextmanager
def regular_file(path: Path) -> Iterator[BinaryIO]:
    """The file open for reading; StateError unless it is a plain file and no link to one."""
    # without blocking, since opening a pipe would wait for its writer
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        reason = "is a symbolic link" if path.is_symlink() else error.strerror or str(error)
        raise StateError(f"{path}: cannot be read: {reason}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StateError(f"{path}: expected a plain file")
    with os.fdopen(descriptor, "rb") as stream:
        yield stream


def file_size(stream: BinaryIO) -> int:
    """Bytes in an open file."""
    return os.fstat(stream.fileno()).st_size


def parse_json(data: bytes, place: str) -> Any:
    """Plain data of at most 16 MiB; StateError for other text, repeated keys and infinities."""
    if len(data) > LARGEST_JSON:
        raise StateError(f"{place}: expected at most {LARGEST_JSON} bytes of JSON")
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_finite,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else shown(error)
        raise StateError(f"{place}: expected JSON: {reason}") from None


def shown(value: object, longest: int = 120) -> str:
    """The value as printable ASCII on one line, cut where it is long."""
    text = ascii(str(value))[1:-1]
    return text if len(text) <= longest else text[: longest - 3] + "..."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{shown(text)} is not a finite number")
    return number
