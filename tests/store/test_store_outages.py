"""A lost server or a lost answer changes nothing but the time it takes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError

from archsearch.errors import StateError, TryAgainError
from archsearch.spec.trial import State
from archsearch.store.database import Database
from archsearch.store.store import Store, open_store
from archsearch.testing.store_fixtures import outcome, trials


class Flaky:
    """An engine that loses the server before a transaction, or the answer after its commit."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.before = self.after = 0

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        if self.before:
            self.before -= 1
            raise lost()
        with self.engine.begin() as connection:
            yield connection
        if self.after:
            self.after -= 1
            raise lost()


def lost() -> OperationalError:
    return OperationalError("", {}, Exception("server closed"), connection_invalidated=True)


@pytest.fixture
def flaky() -> tuple[Store, Flaky]:
    database = Database("sqlite://", patience=5.0)
    engine = Flaky(database._writing)
    database._writing = engine  # type: ignore[assignment]
    return Store(database), engine


def story(store: Store, before_each: Callable[[], None]) -> list[Any]:
    """Every write there is, in a row; what each returned and what is stored at the end."""
    first, second, third = trials(3)
    told: list[Any] = []

    def step(work: Callable[[], Any]) -> None:
        before_each()
        told.append(work())

    study = 1
    step(lambda: store.create_study("one", {"seed": 0}, "text", {}).name)
    step(lambda: store.acquire(study, "1@here.invalid"))
    step(lambda: store.start(study, first, "key"))
    step(lambda: store.restart(study, first, "gone"))
    step(lambda: store.finish(study, first, 2, outcome(1.0)))
    step(lambda: store.start(study, second, "key"))
    step(lambda: store.advance(study, [(second, 1, outcome(2.0))], [(third, "other")]))
    step(lambda: [store.restart(study, third, "gone") for _ in range(3)])
    step(lambda: store.ended(study, "done"))
    told += [store.history(study), store.ledger(study)]
    told += [(entry.index, entry.epoch, entry.reason) for entry in store.attempts(study)]
    step(lambda: store.release(study))
    return told


@pytest.mark.parametrize(("before", "after"), [(0, 1), (1, 0), (2, 1)])
def test_losing_each_answer_gives_the_same_story(
    flaky: tuple[Store, Flaky], before: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("archsearch.store.database.time.sleep", lambda _: None)
    store, engine = flaky

    def losing() -> None:
        engine.before, engine.after = before, after

    unhindered = story(open_store("sqlite://"), lambda: None)
    hindered = story(store, losing)
    # taking a study again under the same name makes a new epoch, which is as good
    assert [hindered[0], *hindered[2:]] == [unhindered[0], *unhindered[2:]]


def test_an_outage_longer_than_patience_ends_the_run_resumably() -> None:
    database = Database("sqlite://", patience=0.2)
    engine = Flaky(database._writing)
    database._writing = engine  # type: ignore[assignment]
    store = Store(database)
    study = store.create_study("one", {}, "", {}).id
    store.acquire(study, "1@here.invalid")
    engine.before = 1000
    with pytest.raises(TryAgainError, match="cannot be reached"):
        store.start(study, trials(1)[0], "key")
    engine.before = 0
    store.start(study, trials(1)[0], "key")


def test_two_processes_may_write_to_two_studies_of_one_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/studies.db"
    open_store(url).close()
    faults: list[BaseException] = []

    def drive(name: str) -> None:
        try:
            with open_store(url) as store:
                study = store.create_study(name, {}, "", {}).id
                store.acquire(study, f"{name}@here.invalid")
                for trial in trials(15):
                    store.start(study, trial, name)
                    store.finish(study, trial, 1, outcome(1.0))
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=drive, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    with open_store(url) as store:
        for record in store.studies():
            states = [trial.state for trial in store.history(record.id)]
            assert states == [State.COMPLETE] * 15


def test_the_cause_is_said_without_the_drivers_own_words() -> None:
    database = Database("sqlite://")

    def broken(connection: Connection) -> None:
        connection.exec_driver_sql("SELECT nonsense FROM nowhere")

    with pytest.raises(StateError, match="cannot be used as a database") as caught:
        database.read(broken)
    assert caught.value.__cause__ is None
    database.close()
