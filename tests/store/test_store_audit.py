"""A study whose rows do not fit each other is not continued, and nothing is written to it."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from archsearch.errors import StateError
from archsearch.store.store import open_store
from archsearch.testing.store_fixtures import outcome, trials

OWNER = "1@here.invalid"
# what the half of a transaction, or an edit, may leave
EDITS = {
    "a result without its state": "UPDATE trial SET state = 'running' WHERE id = 1",
    "a state without its result": "DELETE FROM result WHERE trial = 1",
    "a result of another attempt": "UPDATE result SET epoch = 2 WHERE trial = 1",
    "an epoch without its attempt": "UPDATE trial SET epoch = 2 WHERE id = 2",
    "a trial without attempts": "DELETE FROM attempt WHERE trial = 2",
    "an attempt too many": "INSERT INTO attempt SELECT trial, 2, driver_epoch, owner, started, 1.0,"
    " 'lost', 0.0, 0.0 FROM attempt WHERE trial = 2",
    "an end that is missing": "UPDATE attempt SET ended = NULL WHERE trial = 1",
    "an end before the end": "UPDATE attempt SET ended = 1.0 WHERE trial = 2",
    "an attempt at no trial": "UPDATE attempt SET trial = 77 WHERE trial = 2",
    "another candidate": "UPDATE trial SET digest = 'other' WHERE id = 2",
    "another value": "UPDATE result SET metrics = '[]' WHERE trial = 1",
}


@pytest.mark.parametrize("what", EDITS)
def test_a_study_that_does_not_fit_is_refused(tmp_path: Path, what: str) -> None:
    path = tmp_path / "studies.db"
    with open_store(f"sqlite:///{path}") as store:
        study = store.create_study("one", {}, "", {}).id
        store.acquire(study, OWNER)
        done, running = trials(2)
        store.advance(study, started=[(done, "key"), (running, "key")])
        store.finish(study, done, 1, outcome(0.25))
        store.release(study)
        store.acquire(study, OWNER)
        store.release(study)
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        assert raw.execute(EDITS[what]).rowcount == 1
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    with open_store(f"sqlite:///{path}") as store:
        with pytest.raises(StateError, match="is not as it was written") as caught:
            store.acquire(study, OWNER)
        assert str(path) in str(caught.value)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
