"""One database: opened and checked once, then asked in transactions that outlive an outage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from archsearch.errors import InputError, StateError
from archsearch.failpoints import failpoint
from archsearch.store.connect import open_engine, read_url
from archsearch.store.faults import is_passing, place_of, readable
from archsearch.store.rows import Damaged
from archsearch.store.schema import check, check_pages, migrate

T = TypeVar("T")


class Database:
    """Runs work in transactions; whatever goes wrong there comes out as one of our errors.

    Work is tried again for ``patience`` seconds when the server was lost or a lock was in the
    way. A commit whose answer was lost is tried again too, so work must be safe to repeat.
    """

    def __init__(self, url: str, *, read_only: bool = False, patience: float = 300.0) -> None:
        parsed = read_url(url)
        self.place = place_of(parsed)
        self.read_only = read_only
        self.folder: Path | None = None
        self._patience = 0.0
        # a database in memory has one connection for all threads
        self._turn = threading.RLock()
        if parsed.get_backend_name() == "sqlite" and parsed.database not in (None, "", ":memory:"):
            path = Path(str(parsed.database))
            self._check_file(path)
            self.folder = path.absolute().parent
        self._reading = open_engine(parsed, read_only=read_only)
        self._writing = self._reading.execution_options(writing=True)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise
        self._patience = patience

    def read(self, work: Callable[[Connection], T]) -> T:
        return self._run(work, writing=False)

    def write(self, work: Callable[[Connection], T]) -> T:
        if self.read_only:
            raise StateError(f"{self.place} was opened for reading only")
        return self._run(work, writing=True)

    def close(self) -> None:
        self._reading.dispose()

    def _run(self, work: Callable[[Connection], T], *, writing: bool) -> T:
        engine = self._writing if writing else self._reading
        deadline = time.monotonic() + self._patience
        pause = 0.05
        while True:
            try:
                with self._turn, engine.begin() as connection:
                    done = work(connection)
                    if writing:
                        failpoint("store.commit.before")
                if writing:
                    failpoint("store.commit.after")
                return done
            except DBAPIError as error:
                if not is_passing(error) or time.monotonic() + pause > deadline:
                    raise readable(error, self.place) from None
            except Damaged as error:
                raise StateError(f"{self.place}: {error}") from None
            except UnicodeDecodeError:
                # the driver chokes on the name of a damaged table in SQLite's own message
                raise StateError(f"{self.place} is damaged; restore it from a copy") from None
            time.sleep(pause)
            pause = min(2 * pause, 2.0)

    def _check_file(self, path: Path) -> None:
        if path.is_dir():
            raise InputError(f"{path} is a folder; name a file in it")
        if self.read_only and not path.exists():
            raise InputError(f"{path} does not exist; run a study into it first")

    def _prepare(self) -> None:
        def ready(connection: Connection) -> bool:
            if connection.dialect.name == "sqlite":
                check_pages(connection, self.place)
            return check(connection, self.place)

        if self.read(ready):
            return
        if self.read_only:
            raise StateError(
                f"{self.place} has no tables of this archsearch's schema; run a study into it first"
            )

        def made(connection: Connection) -> None:
            migrate(connection, self.place)

        self.write(made)
        # the lock that kept others away ends with the connection on MariaDB
        if self._reading.dialect.name not in ("sqlite", "postgresql"):
            self._reading.dispose()
