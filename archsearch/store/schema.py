"""Which shape the tables have: checked, made and migrated when a store is opened."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import ColumnElement, column, func, inspect, select, table
from sqlalchemy.engine import Connection

from archsearch.errors import InputError, StateError, TryAgainError
from archsearch.failpoints import failpoint
from archsearch.store import tables

VERSION_TABLE = "archsearch_version"
REVISIONS = ("0001",)
_LOCK = 7_316_402
LOCK_SECONDS = 10


def check(connection: Connection, place: str) -> bool:
    """Whether the tables are there and up to date; raises StateError if they are not ours."""
    names = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in names:
        strange = (
            names if connection.dialect.name == "sqlite" else names & set(tables.metadata.tables)
        )
        if strange:
            raise StateError(
                f"{place} belongs to another program (table '{min(strange)}'); name another one"
            )
        return False
    found = _revisions(connection)
    for revision in found:
        if revision not in REVISIONS:
            raise StateError(
                f"{place} was written by a newer archsearch (schema {revision}, this one knows "
                f"{REVISIONS[-1]}); upgrade archsearch"
            )
    return found == [REVISIONS[-1]]


def check_pages(connection: Connection, place: str) -> None:
    """Raise StateError if an SQLite file is cut short or its pages do not fit together."""
    found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
    if found != "ok":
        raise StateError(f"{place} is damaged; restore it from a copy")


def migrate(connection: Connection, place: str) -> None:
    """Bring the tables to the latest revision, within the transaction of ``connection``.

    Waits for others who are at it. Alembic is imported here, for most stores are up to date.
    """
    from alembic import command
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        _refuse_other_encodings(connection, place)
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    elif connection.dialect.name != "sqlite":
        _wait_alone(connection, place)
    if check(connection, place):
        return
    _clear_unfinished(connection, place)
    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    failpoint("store.migrate")


def _refuse_other_encodings(connection: Connection, place: str) -> None:
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding not in ("UTF8", "SQL_ASCII"):
        raise InputError(
            f"{place} has the encoding {encoding}, which lacks most of Unicode; name one that was "
            "created with ENCODING 'UTF8'"
        )


def _wait_alone(connection: Connection, place: str) -> None:
    """Take the lock of this database on MariaDB, which holds it until the connection is closed."""
    name = func.concat("archsearch.", func.database())
    if connection.scalar(select(func.get_lock(name, LOCK_SECONDS))) != 1:
        raise TryAgainError(f"{place} is being made ready by another program; try again later")


def _revisions(connection: Connection) -> list[str]:
    stamp: ColumnElement[str] = column("version_num")
    return list(connection.scalars(select(stamp).select_from(table(VERSION_TABLE))))


def _clear_unfinished(connection: Connection, place: str) -> None:
    """Remove what a first migration that was killed has made: MariaDB commits each table alone.

    No row is in them, for nothing is written before the revision is. Raises StateError for tables
    that hold any.
    """
    names = set(inspect(connection).get_table_names())
    made = [each for each in tables.metadata.sorted_tables if each.name in names]
    if not made or _revisions(connection):
        return
    if any(connection.scalar(select(func.count()).select_from(each)) for each in made):
        raise StateError(f"{place} is damaged: its schema is not known; restore it from a copy")
    tables.metadata.drop_all(connection, made)
