"""Which shape the tables have: checked, made and migrated when a store is opened."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import ColumnElement, column, func, inspect, select, table
from sqlalchemy.engine import Connection

from archsearch.errors import StateError
from archsearch.failpoints import failpoint
from archsearch.store import tables

VERSION_TABLE = "archsearch_version"
REVISIONS = ("0001",)
_LOCK = 7_316_402


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
    stamp: ColumnElement[str] = column("version_num")
    found = connection.scalars(select(stamp).select_from(table(VERSION_TABLE))).all()
    for revision in found:
        if revision not in REVISIONS:
            raise StateError(
                f"{place} was written by a newer archsearch (schema {revision}, this one knows "
                f"{REVISIONS[-1]}); upgrade archsearch"
            )
    return list(found) == [REVISIONS[-1]]


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
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    elif connection.dialect.name != "sqlite":
        connection.execute(select(func.get_lock("archsearch", 10)))
    if check(connection, place):
        return
    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    failpoint("store.migrate")
