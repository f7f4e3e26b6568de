"""What went wrong in a database, in one line that names the remedy and never a password."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from archsearch.errors import ArchsearchError, InputError, StateError, TryAgainError

_SQLITE: tuple[tuple[str, type[ArchsearchError], str], ...] = (
    ("not a database", StateError, "is not a database; name another file or restore it"),
    ("malformed", StateError, "is damaged; restore it from a copy"),
    ("could not decode", StateError, "is damaged; restore it from a copy"),
    ("readonly", InputError, "may not be written; change its permissions or name another file"),
    ("unable to open", InputError, "cannot be opened; check that its folder exists and is yours"),
    ("full", TryAgainError, "is on a full disk; free some space and run the same command again"),
    ("locked", TryAgainError, "is locked by another program; run the same command again"),
    ("disk i/o", TryAgainError, "is on a failing disk; see to it and run the same command again"),
)
_SERVER: tuple[tuple[str, type[ArchsearchError], str], ...] = (
    ("configuration parameter", InputError, "does not take an option of the URL; correct it"),
    ("value for parameter", InputError, "does not take an option of the URL; correct it"),
    ("invalid sslmode", InputError, "does not take the sslmode of the URL; correct it"),
    ("support ssl", InputError, "does not encrypt as the URL asks; correct its options"),
    ("certificate", InputError, "does not encrypt as the URL asks; correct its options"),
    ("invalid port", InputError, "has no such port; correct the URL"),
    ("authentication", InputError, "refuses this user and password; check the URL"),
    ("no password supplied", InputError, "asks for a password; put one into the URL"),
    ("access denied", InputError, "refuses this user and password; check the URL"),
    ("does not exist", InputError, "has no such database or user; create it or check the URL"),
    ("unknown database", InputError, "has no such database; create it or check the URL"),
    ("not permitted to log in", InputError, "refuses this user and password; check the URL"),
    ("command denied", InputError, "lacks rights that are needed; grant them to this user"),
    ("permission denied", InputError, "lacks rights that are needed; grant them to this user"),
    ("read-only", InputError, "may not be written; connect to the primary server"),
    ("no space left", TryAgainError, "is on a full disk; free some space there and run it again"),
    ("is full", TryAgainError, "is on a full disk; free some space there and run it again"),
    ("disk full", TryAgainError, "is on a full disk; free some space there and run it again"),
)


def place_of(url: URL) -> str:
    """Where the database is, without user, password and options."""
    if url.get_backend_name() == "sqlite":
        return url.database or ":memory:"
    port = f":{url.port}" if url.port else ""
    return f"{url.get_backend_name()}://{url.host or ''}{port}/{url.database or ''}"


def is_passing(error: DBAPIError) -> bool:
    """Whether the same transaction may succeed later: a lost server, a deadlock, a lock."""
    if error.connection_invalidated:
        return True
    if "sqlite3" in type(error.orig).__module__:
        return "locked" in str(error.orig)
    return isinstance(error, OperationalError | InterfaceError)


def readable(error: DBAPIError, place: str) -> ArchsearchError:
    """The error to show; the driver's own text is not shown, for it may repeat the URL."""
    said = str(error.orig).lower()
    of_file = "sqlite3" in type(error.orig).__module__
    if getattr(error.orig, "sqlite_errorname", "") == "SQLITE_READONLY_DBMOVED":
        return StateError(f"{place} was moved or removed while in use; put it back")
    if of_file and _is_writable(Path(place)):
        if "unable to open" in said:
            # it is its journal that cannot be made
            return TryAgainError(f"{place} has no room for a journal; free some and run it again")
        if "readonly" in said:
            # so says one byte of its header
            return StateError(f"{place} is damaged; restore it from a copy")
    for words, kind, remedy in _SQLITE if of_file else _SERVER:
        if words in said:
            return kind(f"{place} {remedy}")
    if of_file:
        return StateError(f"{place} cannot be used as a database: {error.orig}")
    if isinstance(error, OperationalError | InterfaceError):
        return TryAgainError(f"{place} cannot be reached; check the URL or try again later")
    return StateError(f"{place} refused a statement ({type(error.orig).__name__})")


def _is_writable(path: Path) -> bool:
    return path.is_file() and all(
        os.access(each, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
        for each in (path, path.parent)
    )
