"""Every schema that was released is migrated, and a study begun with it goes on to its end."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from released_study import OUTCOMES, RELEASED, run, trials
from sqlalchemy import create_engine, make_url

from archsearch.spec.trial import State, Trial
from archsearch.store import schema, tables
from archsearch.store.store import open_store

POSTGRES = os.environ.get("ARCHSEARCH_TEST_POSTGRES")
VERSIONS = sorted({path.name.split(".")[0] for path in RELEASED.glob("*.sql")})
DIALECTS = ("sqlite", "postgresql") if POSTGRES else ("sqlite",)

# a migration that is killed after its first statement, or not
NEXT = """\
import os, signal
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{latest}"


def upgrade():
    op.add_column("study", sa.Column("colour", sa.String(20)))
    op.execute("UPDATE study SET colour = 'red'")
    if os.environ["DIE"] == "inside":
        os.kill(os.getpid(), signal.SIGKILL)
    op.execute("UPDATE trial SET state = 'crashed'")
"""
MIGRATING = """\
import sys
from archsearch.store import schema
from archsearch.store.store import open_store
schema.__file__ = sys.argv[1]
schema.REVISIONS = (*schema.REVISIONS, "9999")
open_store(sys.argv[2]).close()
"""


@pytest.fixture(scope="module")
def whole() -> list[Trial]:
    """What an uninterrupted run gives today."""
    with open_store("sqlite://") as store:
        run(store)
        return trials(store)


@pytest.fixture(params=[(version, dialect) for version in VERSIONS for dialect in DIALECTS])
def released(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database as that schema's archsearch left it, half-way through the study."""
    version, dialect = request.param
    text = (RELEASED / f"{version}.{dialect}.sql").read_text()
    if dialect == "sqlite":
        path = tmp_path / "studies.db"
        raw = sqlite3.connect(path)
        raw.executescript(text)
        raw.close()
        yield f"sqlite:///{path}"
        return
    name = f"released_{uuid.uuid4().hex}"
    server = create_engine(POSTGRES or "", isolation_level="AUTOCOMMIT")
    with server.connect() as connection:
        connection.exec_driver_sql("CREATE DATABASE " + name)
    url = make_url(POSTGRES or "").set(database=name)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(text.replace("%", "%%"))
    engine.dispose()
    yield url.render_as_string(hide_password=False)
    with server.connect() as connection:
        connection.exec_driver_sql("DROP DATABASE " + name + " WITH (FORCE)")
    server.dispose()


def content(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Every table of the database with its rows, which tells of every column too."""
    engine = create_engine(url)
    with engine.connect() as connection:
        names = schema.inspect(connection).get_table_names()
        found = {
            name: sorted(map(tuple, connection.exec_driver_sql("SELECT * FROM " + name)), key=repr)
            for name in names
        }
    engine.dispose()
    return found


def test_every_schema_has_its_dumps() -> None:
    assert tuple(VERSIONS) == schema.REVISIONS, (
        "a schema without a dump: run tests/store/released_study.py when you add a migration"
    )
    for version in VERSIONS:
        for dialect in ("sqlite", "postgresql"):
            text = (RELEASED / f"{version}.{dialect}.sql").read_text()
            assert re.search(rf"INSERT INTO .*archsearch_version.* ?VALUES ?\('{version}'\)", text)


def test_a_dump_is_half_a_study(released: str) -> None:
    found = content(released)
    assert len(found["result"]) == OUTCOMES - 1
    assert [row[-3] for row in found["trial"]].count(str(State.RUNNING)) == 2
    assert sum("killed by SIGKILL" in row for row in found["attempt"]) == 1


def test_a_released_study_goes_on_to_the_same_end(released: str, whole: list[Trial]) -> None:
    done = {row[0]: row for row in content(released)["result"]}
    with open_store(released) as store:
        assert "12 trials are done" in run(store)
        continued = trials(store)
        numbers = [attempt.epoch for attempt in store.attempts(1)]
    assert continued == whole
    assert len(whole) == 12 + 3 + 6
    # one was lost in the dump and one after it, two were running when the driver was killed
    assert numbers.count(2) == 4
    after = {row[0]: row for row in content(released)["result"]}
    assert {number: after[number] for number in done} == done


def test_a_migrated_database_has_the_tables_that_the_store_knows(released: str) -> None:
    open_store(released).close()
    engine = create_engine(released)
    with engine.connect() as connection:
        options = {"version_table": schema.VERSION_TABLE, "compare_type": True}
        migrated = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(migrated, tables.metadata) == []
    engine.dispose()
    assert content(released)[schema.VERSION_TABLE] == [(schema.REVISIONS[-1],)]


@pytest.mark.parametrize("die", ["inside", "before the commit"])
def test_a_migration_that_is_killed_leaves_the_old_version(
    released: str, tmp_path: Path, whole: list[Trial], die: str
) -> None:
    open_store(released).close()
    before = content(released)
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    real = Path(schema.__file__).parent / "migrations"
    for path in (real / "env.py", *(real / "versions").glob("0*.py")):
        (folder / path.relative_to(real)).write_text(path.read_text())
    latest = schema.REVISIONS[-1]
    (folder / "versions" / "9999_next.py").write_text(NEXT.replace("{latest}", latest))
    fault = {"ARCHSEARCH_FAILPOINT": "store.migrate:kill"} if die != "inside" else {}

    def migrate(**environment: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", MIGRATING, str(tmp_path / "schema.py"), released],
            env=os.environ | {"DIE": die} | environment,
            check=False,
        )
        return done.returncode

    assert migrate(**fault) == -signal.SIGKILL
    assert content(released) == before
    with open_store(released) as store:
        run(store)
        assert trials(store) == whole
    assert migrate(DIE="never") == 0
    assert content(released)[schema.VERSION_TABLE] == [("9999",)]
    assert {row[-3] for row in content(released)["trial"]} == {"crashed"}
