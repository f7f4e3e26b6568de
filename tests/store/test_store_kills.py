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

from archsearch.spec.trial import Outcome, State, Trial
from archsearch.store.store import Store, open_store
from archsearch.testing.stores import trials

KILLS = 25
COUNT = 120
FOREVER = 3600.0


def answer(trial: Trial) -> Outcome:
    return Outcome(State.COMPLETE, (("value", trial.index / 7),))


def drive(url: str, acknowledged: str) -> None:
    """Run the study to its end, or until killed; note each trial once it is told finished."""
    with open_store(url) as store:
        study = store.create_study("one", {}, "", {}).id
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


def test_kills(tmp_path: Path) -> None:
    url, notes = f"sqlite:///{tmp_path}/studies.db", tmp_path / "acknowledged"
    open_store(url).close()
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["archsearch.store.store", "archsearch.testing.stores"])
    rng = random.Random(0)
    for _ in range(KILLS):
        driver = processes.Process(target=drive, args=(url, str(notes)))
        driver.start()
        time.sleep(rng.uniform(0.05, 0.25))
        if driver.is_alive() and driver.pid is not None:
            os.kill(driver.pid, signal.SIGKILL)
        driver.join()
    drive(url, str(notes))
    with open_store(url, read_only=True) as store:
        study = store.studies()[0].id
        history, attempts = store.history(study), store.attempts(study)
    crashed = {trial.index for trial in history if trial.state is State.CRASHED}
    assert [replace(trial, outcome=Outcome(State.RUNNING)) for trial in history] == trials(COUNT)
    assert all(trial.outcome == answer(trial) for trial in history if trial.index not in crashed)
    # three kills in one short trial are possible, though hardly ever
    assert len(crashed) <= 1
    finished = Counter(notes.read_text().split())
    assert set(finished.values()) == {1}
    ends = Counter(attempt.index for attempt in attempts if attempt.reason == "complete")
    assert set(ends.values()) == {1}
    assert all(attempt.ended is not None for attempt in attempts)
    assert {str(index) for index in ends} >= set(finished)
