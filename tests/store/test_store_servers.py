"""What is particular about a server as a store: its encoding, its clock, its tables half made."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import pytest
from alembic.operations import Operations
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, Connection

from archsearch.errors import InputError
from archsearch.store.connect import now, read_url
from archsearch.store.database import Database
from archsearch.store.store import open_store

POSTGRES = os.environ.get("ARCHSEARCH_TEST_POSTGRES")
MARIADB = os.environ.get("ARCHSEARCH_TEST_MARIADB")
# half past two of a night in Berlin, for the second time
AGAIN = 1_792_890_600.5


def fresh(server: str | None, options: str = "") -> Iterator[URL]:
    """A database of its own on a server."""
    url = read_url(str(server))
    name = f"archsearch_{uuid.uuid4().hex[:8]}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} {options}")
        yield url.set(database=name)
        connection.exec_driver_sql(f"DROP DATABASE {name}")
    engine.dispose()


def spelled(url: URL, **options: str) -> str:
    return url.update_query_dict(options).render_as_string(hide_password=False)


@pytest.mark.skipif(POSTGRES is None, reason="no PostgreSQL is given")
class TestPostgres:
    @pytest.fixture(params=["SQL_ASCII", "LATIN1"])
    def url(self, request: pytest.FixtureRequest) -> Iterator[URL]:
        how = f"ENCODING '{request.param}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
        yield from fresh(POSTGRES, how)

    def test_all_of_unicode_is_kept_or_the_database_refused(
        self, url: URL, request: pytest.FixtureRequest
    ) -> None:
        place = spelled(url, client_encoding="latin1")
        if "LATIN1" in request.node.name:
            with pytest.raises(InputError, match="has the encoding LATIN1"):
                open_store(place)
            return
        with open_store(place) as store:
            store.create_study("one", {"data": "日本.csv"}, "# 日本 — 😀", {})
        with open_store(place, read_only=True) as store:
            assert [study.text for study in store.studies()] == ["# 日本 — 😀"]


@pytest.mark.skipif(MARIADB is None, reason="no MariaDB is given")
class TestMariadb:
    @pytest.fixture
    def url(self) -> Iterator[URL]:
        yield from fresh(MARIADB)

    def test_a_migration_that_was_killed_is_begun_again(
        self, url: URL, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fails(*_: object) -> None:
            raise OSError("the power went off")

        with monkeypatch.context() as patch:
            patch.setattr(Operations, "create_index", fails)
            with pytest.raises(OSError, match="power"):
                open_store(spelled(url))
        with open_store(spelled(url)) as store:
            assert store.studies() == []
            # and who does the same elsewhere on the server waits for nobody
            reader = Database(spelled(url), read_only=True)
            held = text("SELECT is_used_lock(concat('archsearch.', database()))")
            assert reader.read(lambda connection: connection.scalar(held)) is None
            reader.close()

    def test_its_clock_knows_no_summer_time(self, url: URL) -> None:
        def told(connection: Connection) -> float:
            connection.execute(text(f"SET timestamp = {AGAIN}"))
            return now(connection)

        # as under TZ=Europe/Berlin, see tests/mariadb.sh
        database = Database(spelled(url))
        assert database.read(told) == pytest.approx(AGAIN, abs=1e-3)
        database.close()
