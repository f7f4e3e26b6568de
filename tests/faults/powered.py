"""Has the store speak its own SQL, PRAGMAs included, to SQLite on a disk with a power switch.

The store's own code opens each connection; only the module ``sqlite3`` that it asks is another: one
that goes through apsw to a given disk.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import apsw
import pytest
from power import Disk, PowerCut, PowerVFS

from archsearch.store import connect

_NUMBERS = itertools.count()
_OPEN = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI


@contextmanager
def powered(disk: Disk, instead: Mapping[str, str]) -> Iterator[None]:
    """Meanwhile stores open on ``disk``; ``instead`` replaces statements by others."""
    name = f"power-{next(_NUMBERS)}"
    vfs = PowerVFS(disk, name)

    class Module:
        Connection = Connection

        @staticmethod
        def connect(target: str, timeout: float, **_: Any) -> Connection:
            raw = on(disk, lambda: apsw.Connection(target, flags=_OPEN, vfs=name))
            raw.set_busy_timeout(int(1000 * timeout))
            opened.append(raw)
            return Connection(raw, disk, instead)

    opened: list[apsw.Connection] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connect, "sqlite3", Module)
        try:
            yield
        finally:
            for raw in opened:
                with suppress(apsw.Error, PowerCut):
                    raw.close()
            vfs.unregister()


def on(disk: Disk, work: Callable[[], Any]) -> Any:
    """Work whose errors are those of the module sqlite3; PowerCut once the power is off."""
    try:
        return work()
    except apsw.ConstraintError as error:
        raise sqlite3.IntegrityError(str(error)) from None
    except (apsw.Error, PowerCut) as error:
        if disk.off:
            raise PowerCut from None
        raise sqlite3.OperationalError(str(error)) from None


class Connection:
    """As much of a DB-API connection as SQLAlchemy asks for."""

    def __init__(self, raw: apsw.Connection, disk: Disk, instead: Mapping[str, str]) -> None:
        self.raw, self.disk, self.instead = raw, disk, instead

    def cursor(self) -> Cursor:
        return Cursor(self)

    def execute(self, statement: str) -> Cursor:
        cursor = self.cursor()
        cursor.execute(statement)
        return cursor

    def commit(self) -> None:
        if self.raw.in_transaction:
            self.execute("COMMIT")

    def rollback(self) -> None:
        if self.raw.in_transaction and not self.disk.off:
            self.execute("ROLLBACK")

    def create_function(self, *_: Any, **__: Any) -> None:
        """SQLAlchemy brings a function for regular expressions; the store uses none."""

    def close(self) -> None:
        with suppress(PowerCut):
            on(self.disk, self.raw.close)


class Cursor:
    """Runs a statement to its end at once and then gives out what it said."""

    arraysize = 1

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.description: tuple[Any, ...] | None = None
        self.rowcount, self.lastrowid = -1, 0
        self._rows: Iterator[tuple[Any, ...]] = iter(())

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Cursor:
        raw = self.connection.raw
        cursor = raw.cursor()
        self.description = None
        cursor.exec_trace = self._described
        wanted = self.connection.instead.get(statement, statement)
        changes = raw.total_changes()
        rows = on(self.connection.disk, lambda: list(cursor.execute(wanted, tuple(parameters))))
        self._rows = iter(rows)
        self.rowcount = -1 if self.description else raw.total_changes() - changes
        self.lastrowid = raw.last_insert_rowid()
        return self

    def executemany(self, statement: str, many: Sequence[Sequence[Any]]) -> None:
        counts = [self.execute(statement, parameters).rowcount for parameters in many]
        self.rowcount = sum(counts)

    def fetchone(self) -> tuple[Any, ...] | None:
        return next(self._rows, None)

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        return list(itertools.islice(self._rows, size))

    def fetchall(self) -> list[tuple[Any, ...]]:
        return list(self._rows)

    def close(self) -> None:
        self._rows = iter(())

    def _described(self, cursor: apsw.Cursor, statement: str, bindings: Any) -> bool:
        columns = cursor.get_description()
        self.description = tuple((*column[:2], None, None, None, None, None) for column in columns)
        self.description = self.description or None
        return True
