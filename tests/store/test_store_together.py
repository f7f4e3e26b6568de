"""A server is told of many trials at once: all of a commit in three statements, and rightly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event

from archsearch.spec.trial import Outcome, State, Trial
from archsearch.store.store import Store, open_store
from archsearch.testing.store_fixtures import outcome, trials
from archsearch.testing.store_values import HOSTILE

POSTGRES = os.environ.get("ARCHSEARCH_TEST_POSTGRES")
MANY = 20

pytestmark = pytest.mark.skipif(not POSTGRES, reason="no PostgreSQL: run under tests/postgres.sh")


@pytest.fixture
def store() -> Iterator[Store]:
    with open_store(str(POSTGRES)) as opened:
        yield opened


@pytest.fixture
def study(store: Store, tmp_path: Path) -> int:
    made = store.create_study(f"together {tmp_path}", {}, "", {}).id
    store.acquire(made)
    return made


def started(several: list[Trial]) -> list[tuple[Trial, str]]:
    return [(trial, f"key {trial.index}") for trial in several]


def test_a_commit_of_many_is_three_statements(store: Store, study: int) -> None:
    asked: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        asked.append(statement)

    first, then = trials(2 * MANY)[:MANY], trials(2 * MANY)[MANY:]
    store.advance(study, started=started(first))
    event.listen(store._database._reading, "before_cursor_execute", note)
    store.advance(study, [(trial, 1, outcome(0.5)) for trial in first], started(then))
    assert len(asked) == 3, asked


def test_each_row_is_that_of_its_trial(store: Store, study: int) -> None:
    given = trials(len(HOSTILE))
    ends = [
        outcome(index / 7, message=message, state=State.CRASHED if index % 2 else State.COMPLETE)
        for index, message in enumerate(HOSTILE)
    ]
    assert store.advance(study, started=started(given)) == ([], [1] * len(given))
    together = [(trial, 1, end) for trial, end in zip(given, ends, strict=True)]
    assert store.advance(study, together[::-1]) == ([True] * len(given), [])
    assert store.history(study) == [replace(t, outcome=end) for t, _, end in together]
    attempts = store.attempts(study)
    assert [attempt.reason for attempt in attempts] == [str(end.state) for end in ends]
    assert all(attempt.ended is not None for attempt in attempts)
    assert store.ledger(study).cpu_seconds == 2.0 * len(given)


def test_one_that_is_refused_leaves_the_others_as_asked(store: Store, study: int) -> None:
    early, lost, fine = trials(3)
    store.advance(study, started=started([early, lost, fine]))
    assert store.finish(study, early, 1, outcome(0.1))
    assert store.restart(study, lost) == 2
    late = [(early, 1, outcome(0.2)), (lost, 1, outcome(0.2)), (fine, 1, outcome(0.2))]
    assert store.advance(study, late) == ([False, False, True], [])
    running = Outcome(State.RUNNING)
    expected = [outcome(0.1), running, outcome(0.2)]
    assert [trial.outcome for trial in store.history(study)] == expected
    # said again, as after a commit whose answer was lost
    assert store.advance(study, late, started([fine])) == ([False, False, True], [1])


def test_a_trial_with_a_known_outcome_is_finished_at_once(store: Store, study: int) -> None:
    known, new = trials(2)
    known = replace(known, outcome=outcome(0.3))
    assert store.advance(study, started=started([known, new])) == ([], [1, 1])
    assert store.history(study) == [known, new]
    assert store.unfinished(study) == [new]
