"""Whether a stored study is whole, looked at before anybody continues it.

The seals of rows tell what was damaged in them. What changes in the life of a trial is not sealed,
but its parts must fit: a damaged journal of SQLite can leave half of a transaction behind.
"""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import select
from sqlalchemy.engine import Connection

from archsearch.spec.trial import State
from archsearch.store import queries
from archsearch.store.rows import Damaged, check_trial
from archsearch.store.tables import attempt, trial


def audit(connection: Connection, study: int) -> None:
    """Raise Damaged unless each trial is as it was written and where its attempts say.

    The caller holds the lock of the study, for nothing may change between two questions.
    """
    if connection.dialect.name == "sqlite":
        orphan = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
        if orphan is not None:
            raise Damaged(f"the table '{orphan[0]}'")
    tried: dict[int, list[int]] = defaultdict(list)
    running: dict[int, list[int]] = defaultdict(list)
    entries = (
        select(attempt.c.trial, attempt.c.epoch, attempt.c.ended)
        .join(trial, trial.c.id == attempt.c.trial)
        .where(trial.c.study == study)
        .order_by(attempt.c.epoch)
    )
    for number, epoch, ended in connection.execute(entries):
        tried[number].append(epoch)
        if ended is None:
            running[number].append(epoch)
    for row, told in queries.rows(connection, trial.c.study == study):
        check_trial(row, told)
        number, epoch, runs = row["id"], row["epoch"], row["state"] == State.RUNNING
        whole = (
            tried[number] == list(range(1, len(tried[number]) + 1))
            and epoch == len(tried[number])
            and running[number] == ([epoch] if runs else [])
            and told["epoch"] == (None if runs else epoch)
        )
        if not whole:
            raise Damaged(f"{row['phase']} trial {row['idx']} of study {study}")
