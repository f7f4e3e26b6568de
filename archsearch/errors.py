"""Errors that a person is meant to read: each knows its exit code and fits on one line."""

from __future__ import annotations

import errno

MAKE_ROOM = "make room, and the same command continues"


class ArchsearchError(Exception):
    """Something the user can act on; the command line prints it as one line and exits."""

    exit_code = 1
    located = False


class InputError(ArchsearchError):
    """The input (space file, data, option) is wrong; nothing was written."""

    exit_code = 2


class SpaceError(InputError):
    """A space, layer or option that does not fit the catalog."""


class ArchitectureError(InputError):
    """An architecture that cannot be built."""


class DataError(InputError):
    """A data file that no task can be made of."""


class StateError(ArchsearchError):
    """Stored state does not fit what was asked: never answered by starting over."""

    exit_code = 3


class LockedError(ArchsearchError):
    """Another driver holds the study."""

    exit_code = 4


class TryAgainError(ArchsearchError):
    """The run stopped early but is resumable: the same command continues it."""

    exit_code = 75


def is_full(error: OSError) -> bool:
    """Whether a disk, or what of it one may use, is full: for which no input is at fault."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


class LocatedError(InputError):
    """A fault at one place of a file: ``file:line:col: error: key: expected ..., got ...``."""

    located = True

    def __init__(self, file: str, line: int, column: int, message: str) -> None:
        self.file, self.line, self.column, self.message = file, line, column, message
        super().__init__(f"{file}:{line}:{column}: error: {message}")


class UnknownLayerError(LocatedError):
    """A file names a layer that is not there; ``kind`` and ``name`` are which."""

    def __init__(self, fault: LocatedError, kind: str, name: str) -> None:
        self.kind, self.name = kind, name
        super().__init__(fault.file, fault.line, fault.column, fault.message)
