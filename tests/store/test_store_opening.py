"""What is opened is ours, whole and of a known schema; whatever is not is refused in one line."""

from __future__ import annotations

import random
import socket
import sqlite3
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from archsearch.errors import ArchsearchError, InputError, StateError, TryAgainError
from archsearch.spec.trial import Trial
from archsearch.store import connect, schema, tables
from archsearch.store.records import StudyRecord
from archsearch.store.store import open_store
from archsearch.testing.store_fixtures import outcome, trials

SECRET = "s3cr3t"


def refused(url: str, kind: type[ArchsearchError], words: str, *, read_only: bool = False) -> None:
    """Opening fails with that error, in one short line without the password."""
    with pytest.raises(kind, match=words) as caught:
        open_store(url, read_only=read_only)
    said = str(caught.value)
    assert "\n" not in said
    assert len(said) <= 300
    assert SECRET not in said
    assert type(caught.value) is kind


def filled(path: Path, count: int = 8) -> None:
    """Make a file with a study of that many finished trials."""
    with open_store(f"sqlite:///{path}") as store:
        study = store.create_study("one", {}, "", {}).id
        store.acquire(study)
        begun = trials(count)
        store.advance(study, started=[(trial, "key") for trial in begun])
        store.advance(study, finished=[(trial, 1, outcome(0.25, 3.5)) for trial in begun])
        store.release(study)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "expected a database URL"),
        ("studies.db", "expected a database URL"),
        (f"oracle://u:{SECRET}@host/db", "begins with 'oracle'"),
        (f"postgresql+nothing://u:{SECRET}@host/db", "driver"),
        (f"postgresql://u:{SECRET}@host:{SECRET}/db", "expected a database URL"),
        (f"postgresql://u:first@{SECRET}@host/db", "an '@' in it as %40"),
        (f"postgresql://u:first@host/{SECRET}@host/db", "an '@' in it as %40"),
        (f"mariadb://u:{SECRET}@host", "names no database"),
        (f"postgresql://u:{SECRET}@127.0.0.1/db?colour=blue", r"cannot be opened with \?colour;"),
        (f"postgresql://u:{SECRET}@127.0.0.1/db?sslmode=blue", "does not take the sslmode"),
        (f"postgresql://u:{SECRET}@127.0.0.1:99999/db", "has no such port"),
        ("sqlite:///studies.db?mode=ro", "takes no options"),
        ("sqlite:////nowhere/to/be/found.db", "check that its folder exists"),
    ],
)
def test_urls_that_cannot_be_used(url: str, words: str) -> None:
    refused(url, InputError, words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("colour=blue", r"cannot be opened with \?colour;"),
        ("port=1&ssl_ca=/no", r"cannot be opened with \?.*ssl_ca"),
        ("read_timeout=soon", r"with \?read_timeout;"),
    ],
)
def test_options_that_mariadb_does_not_take(options: str, words: str) -> None:
    pytest.importorskip("pymysql")
    refused(f"mariadb://u:{SECRET}@127.0.0.1/db?{options}", InputError, words)


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    refused(f"sqlite:///{tmp_path}", InputError, "is a folder")
    refused(f"sqlite:///{tmp_path}/no.db", InputError, "does not exist", read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_taken_away_while_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    with open_store(f"sqlite:///{path}") as store:
        path.unlink()
        with pytest.raises(StateError, match="was moved or removed while in use; put it back"):
            store.create_study("one", {}, "", {})
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_down() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        # bound but not listening: connections are refused
        refused(f"postgresql://u:{SECRET}@127.0.0.1:{port}/db", TryAgainError, "cannot be reached")


def test_a_server_that_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "CONNECT_SECONDS", 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        began = time.monotonic()
        refused(f"postgresql://u:{SECRET}@127.0.0.1:{port}/db", TryAgainError, "cannot be reached")
        assert time.monotonic() - began < 10.0


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to hold a header of a hundred bytes\n" * 20)
    before = path.read_bytes()
    refused(f"sqlite:///{path}", StateError, "is not a database")
    assert path.read_bytes() == before


def test_the_database_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE bookmarks (url TEXT)")
    raw.close()
    refused(f"sqlite:///{path}", StateError, "belongs to another program")


def test_a_newer_schema(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    filled(path)
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE archsearch_version SET version_num = '9999'")
    raw.close()
    for read_only in (False, True):
        refused(f"sqlite:///{path}", StateError, "upgrade archsearch", read_only=read_only)
    with sqlite3.connect(path) as raw:
        raw.execute("DELETE FROM archsearch_version")
    raw.close()
    refused(f"sqlite:///{path}", StateError, "is damaged: its schema is not known")


def test_an_empty_file_becomes_a_store_but_not_for_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    path.touch()
    refused(f"sqlite:///{path}", StateError, "no tables", read_only=True)
    with open_store(f"sqlite:///{path}") as store:
        assert store.studies() == []


def test_migrations_make_the_tables_that_the_store_knows(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    open_store(f"sqlite:///{path}").close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        migrated = MigrationContext.configure(
            connection,
            opts={"version_table": schema.VERSION_TABLE, "compare_type": True},
        )
        assert compare_metadata(migrated, tables.metadata) == []
    engine.dispose()


def test_the_latest_revision_is_the_one_that_is_checked_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [schema.REVISIONS[-1]]
    assert {revision.revision for revision in script.walk_revisions()} == set(schema.REVISIONS)


def test_a_migration_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic.operations import Operations

    def fails(*_: object) -> None:
        raise OSError("the power went off")

    path = tmp_path / "studies.db"
    with monkeypatch.context() as patch:
        patch.setattr(Operations, "create_index", fails)
        with pytest.raises(OSError, match="power"):
            open_store(f"sqlite:///{path}")
    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    raw.close()
    open_store(f"sqlite:///{path}").close()


def test_every_connection_is_durable_and_checks_references(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    engine = connect.open_engine(connect.read_url(f"sqlite:///{path}"), read_only=False)
    with engine.begin() as connection:
        asked = ("synchronous", "foreign_keys", "journal_mode", "busy_timeout")
        told = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked]
    engine.dispose()
    assert told == [3, 1, "delete", 5000]


def read_back(path: Path) -> tuple[StudyRecord | None, list[Trial]]:
    with open_store(f"sqlite:///{path}", read_only=True) as store:
        study = store.find_study("one")
        return study, store.history(study.id) if study else []


def is_refused(path: Path, whole: tuple[StudyRecord | None, list[Trial]]) -> bool:
    """Whether the file is refused with StateError; if not, it must read as it was written."""
    try:
        found = read_back(path)
    except StateError as error:
        said = str(error)
    else:
        assert found[1] == whole[1]
        assert found[0] is not None
        assert whole[0] is not None
        assert found[0].fingerprint == whole[0].fingerprint
        return False
    assert "\n" not in said
    return True


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    filled(path)
    whole, content = read_back(path), path.read_bytes()
    rng = random.Random(0)
    for length in sorted(rng.sample(range(1, len(content)), 40)):
        path.write_bytes(content[:length])
        assert is_refused(path, whole)


def test_a_flipped_bit_is_refused_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "studies.db"
    filled(path, 30)
    whole, content = read_back(path), path.read_bytes()
    rng = random.Random(1)
    refusals = 0
    for _ in range(150):
        damaged = bytearray(content)
        damaged[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        refusals += is_refused(path, whole)
    # most of what is not refused lies in the unused part of a page
    assert refusals > 40
