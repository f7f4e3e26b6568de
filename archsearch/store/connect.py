"""From a URL to connections that are durable, bounded in their waiting, and honest about time."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.pool import QueuePool, StaticPool

from archsearch.errors import InputError
from archsearch.store.faults import place_of

CONNECT_SECONDS = 4
_DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mariadb": "mariadb+pymysql",
    "mysql": "mysql+pymysql",
}
_POSTGRES_CLOCK = text("SELECT CAST(extract(epoch FROM clock_timestamp()) AS double precision)")
# its now() is a time of day in the server's zone, which in autumn has an hour twice
_MARIADB_CLOCK = text("SELECT unix_timestamp() + microsecond(now(6)) / 1e6")
_OF_PYTHON = (TypeError, ValueError, LookupError, AttributeError, OSError)
_EXPECTED = "expected a database URL such as sqlite:///studies.db or postgresql://user@host/name"


def read_url(given: str) -> URL:
    """The URL with its driver named; raises InputError that shows no part of a password."""
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        raise InputError(f"{_EXPECTED}, got something else") from None
    if url.get_backend_name() not in _DRIVERS:
        raise InputError(f"{_EXPECTED}, got one that begins with '{url.drivername[:30]}'")
    # what is left of a password that was not quoted would be shown as part of the place
    if url.get_backend_name() != "sqlite" and "@" in f"{url.host}{url.database}":
        raise InputError(
            f"{_EXPECTED}, got one in which it is not clear where the password ends; write an '@' "
            "in it as %40"
        )
    if url.get_backend_name() == "sqlite" and url.query:
        raise InputError(
            "the URL of an SQLite file takes no options; write a '?' in its path as %3F"
        )
    if url.get_backend_name() in ("mariadb", "mysql") and not url.database:
        raise InputError(f"{_EXPECTED}, got one that names no database behind its host")
    return url if "+" in url.drivername else url.set(drivername=_DRIVERS[url.drivername])


def open_engine(url: URL, *, read_only: bool) -> Engine:
    """Connections to ``url``; raises InputError if the driver's package is missing."""
    if url.get_backend_name() == "sqlite":
        return _open_sqlite(url, read_only)
    arguments: dict[str, Any] = {"connect_timeout": CONNECT_SECONDS}
    if url.get_backend_name() == "postgresql":
        arguments["client_encoding"] = "utf8"
        # a server that vanished without a word is noticed within half a minute
        arguments |= {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4}
    else:
        arguments["charset"] = "utf8mb4"
    try:
        engine = create_engine(url, isolation_level="READ COMMITTED", connect_args=arguments)
    except _OF_PYTHON as error:
        raise misunderstood(url, error) from None
    except NoSuchModuleError:
        raise InputError(f"{_EXPECTED}, got one with a driver that is not known") from None
    except ImportError as error:
        raise InputError(
            f"{url.get_backend_name()} needs the package '{error.name}'; install it"
        ) from None

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, _: Any, given: list[Any], options: dict[str, Any]) -> Any:
        # a driver that gets an option it does not know raises what Python or its library would
        try:
            return dialect.connect(*given, **options)
        except (dialect.dbapi.ProgrammingError, *_OF_PYTHON) as error:
            raise misunderstood(url, error) from None

    if read_only:
        statement = (
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"
            if url.get_backend_name() == "postgresql"
            else "SET SESSION TRANSACTION READ ONLY"
        )
        event.listen(engine, "connect", lambda raw, _: _execute(raw, statement))
    return engine


def now(connection: Connection) -> float:
    """Seconds since 1970 by the clock of the database, which all its drivers share."""
    match connection.dialect.name:
        case "sqlite":
            return time.time()
        case "postgresql":
            return float(connection.scalar(_POSTGRES_CLOCK) or 0.0)
        case _:
            return float(connection.scalar(_MARIADB_CLOCK) or 0.0)


def misunderstood(url: URL, error: Exception) -> InputError:
    """What is said of options behind the ``?`` of a URL that the driver cannot make sense of."""
    said = str(error)
    named = [name for name in url.query if name in said] or list(url.query)
    which = f"?{' or '.join(sorted(named))}" if named else "this user, password or host"
    return InputError(f"{place_of(url)} cannot be opened with {which}; correct it in the URL")


def _open_sqlite(url: URL, read_only: bool) -> Engine:
    in_memory = url.database in (None, "", ":memory:")
    if in_memory:
        target = ":memory:"
    else:
        target = f"file:{quote(str(Path(str(url.database)).absolute()))}"
        # a reader, too, must be able to play back the journal of a driver that was killed
        target += "?mode=rw" if read_only else "?mode=rwc"

    def connect() -> sqlite3.Connection:
        raw = sqlite3.connect(
            target, timeout=5.0, isolation_level=None, check_same_thread=False, uri=not in_memory
        )
        raw.execute("PRAGMA foreign_keys = ON")
        if read_only:
            raw.execute("PRAGMA query_only = ON")
        else:
            # one flipped bit of a write-ahead log silently takes back every commit after it
            raw.execute("PRAGMA journal_mode = DELETE")
            # FULL does not sync the folder that a journal is removed from: after a power cut it may
            # be there again, and take back the last commit
            raw.execute("PRAGMA synchronous = EXTRA")
        return raw

    # a database in memory lives as long as its one connection
    pool = StaticPool if in_memory else QueuePool
    engine = create_engine("sqlite+pysqlite://", creator=connect, poolclass=pool)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writing = connection.get_execution_options().get("writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")

    return engine


def _execute(raw: Any, statement: str) -> None:
    cursor = raw.cursor()
    cursor.execute(statement)
    cursor.close()
