"""A driver killed at any moment loses no finished trial, repeats none, leaves none unfinished."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from archsearch.spec.trial import Outcome, State, Trial
from archsearch.store.store import Store, open_store
from archsearch.testing.store_fixtures import trials

COUNT = 80
GIVEN = ("ARCHSEARCH_TEST_POSTGRES", "ARCHSEARCH_TEST_MARIADB")
SERVERS = [os.environ[name] for name in GIVEN if os.environ.get(name)]
FOREVER = 3600.0


def answer(trial: Trial) -> Outcome:
    return Outcome(State.COMPLETE, (("value", trial.index / 7),))


def drive(url: str, name: str, acknowledged: str) -> None:
    """Run the study to its end, or until killed; note each trial once it is told finished."""
    with open_store(url) as store:
        study = store.create_study(name, {}, "", {}).id
        store.acquire(study, ttl=FOREVER)
        with Path(acknowledged).open("a") as notes:
            for trial in store.unfinished(study):
                complete(store, study, trial, store.restart(study, trial), notes.fileno())
            for trial in trials(COUNT)[len(store.history(study)) :]:
                complete(store, study, trial, store.start(study, trial, "key"), notes.fileno())
        store.release(study)


def complete(store: Store, study: int, trial: Trial, epoch: int | None, notes: int) -> None:
    if epoch is not None and store.finish(study, trial, epoch, answer(trial)):
        os.write(notes, f"{trial.index}\n".encode())


def lines(notes: Path) -> int:
    return notes.read_text().count("\n") if notes.exists() else 0


@pytest.mark.parametrize("url", ["sqlite:///{folder}/studies.db", *SERVERS])
def test_kills(tmp_path: Path, url: str) -> None:
    url, notes = url.format(folder=tmp_path), tmp_path / "acknowledged"
    name = f"killed {tmp_path}"
    open_store(url).close()
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(
        ["archsearch.store.store", "archsearch.testing.store_fixtures"]
    )
    rng = random.Random(0)
    kills = 0
    while lines(notes) < COUNT:
        driver = processes.Process(target=drive, args=(url, name, str(notes)))
        driver.start()
        wanted = lines(notes) + rng.randrange(1, 6)
        while driver.is_alive() and lines(notes) < wanted:
            time.sleep(0.001)
        time.sleep(rng.uniform(0.0, 0.02))
        if driver.is_alive() and driver.pid is not None:
            os.kill(driver.pid, signal.SIGKILL)
            kills += 1
        driver.join()
        if driver.exitcode == 0:
            break
    assert kills > 5
    with open_store(url, read_only=True) as store:
        found = store.find_study(name)
        assert found is not None
        study = found.id
        history, attempts = store.history(study), store.attempts(study)
    assert [replace(trial, outcome=Outcome(State.RUNNING)) for trial in history] == trials(COUNT)
    assert all(trial.outcome == answer(trial) for trial in history)
    finished = Counter(notes.read_text().split())
    assert set(finished.values()) == {1}
    ends = Counter(attempt.index for attempt in attempts if attempt.reason == "complete")
    assert set(ends.values()) == {1}
    assert all(attempt.ended is not None for attempt in attempts)
    assert {str(index) for index in ends} >= set(finished)
    assert any(attempt.epoch > 1 for attempt in attempts)
