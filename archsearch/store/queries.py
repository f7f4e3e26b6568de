"""What can be asked of a store, each question in one statement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select
from sqlalchemy.engine import Connection

from archsearch.spec.trial import Outcome, State, Trial
from archsearch.store import tables
from archsearch.store.owner import label
from archsearch.store.records import Attempt, Cost, StudyRecord
from archsearch.store.rows import decode, outcome_from, trial_from

_ANSWERS = (State.COMPLETE, State.STOPPED, State.DIVERGED, State.INVALID)


def studies(connection: Connection, *where: ColumnElement[bool]) -> list[StudyRecord]:
    """The studies that fit, the oldest first."""
    statement = select(tables.study).where(*where).order_by(tables.study.c.id)
    return [study_from(row) for row in connection.execute(statement)]


def study_from(row: Row[Any]) -> StudyRecord:
    return StudyRecord(
        id=row.id,
        name=row.name,
        fingerprint=decode(row.fingerprint),
        text=row.space,
        settings=decode(row.settings),
        created=row.created,
        ended=row.ended,
        driver=None if row.driver is None else label(row.driver),
        lease_until=row.lease_until,
        active_seconds=row.active_seconds,
    )


def trials(
    connection: Connection, *where: ColumnElement[bool], most: int | None = None
) -> list[Trial]:
    """The trials that fit, with their outcomes, by phase in the order they were started."""
    trial, result = tables.trial, tables.result
    statement = (
        select(trial, *(column.label(f"result_{column.name}") for column in result.c))
        .join(result, result.c.trial == trial.c.id, isouter=True)
        .where(*where)
        .order_by(trial.c.id if most else trial.c.idx, trial.c.id)
        .limit(most)
    )
    found = []
    for mapping in connection.execute(statement).mappings():
        row: Mapping[str, Any] = {str(name): value for name, value in mapping.items()}
        outcome = Outcome(State.RUNNING)
        if row["state"] != State.RUNNING:
            columns = {column.name: row[f"result_{column.name}"] for column in result.c}
            outcome = outcome_from(row, State(row["state"]), columns)
        found.append(trial_from(row, outcome))
    return found


def answer(connection: Connection, job_key: str) -> Outcome | None:
    """The oldest outcome of that computation that any machine would give."""
    table = tables.trial.c
    states = [str(state) for state in _ANSWERS]
    known = trials(connection, table.job_key == job_key, table.state.in_(states), most=1)
    return known[0].outcome if known else None


def cost(connection: Connection, study: int) -> Cost:
    """The sum over all attempts at the trials of a study."""
    attempt = tables.attempt.c
    row = connection.execute(
        select(func.sum(attempt.cpu_seconds), func.sum(attempt.gpu_seconds))
        .join(tables.trial, tables.trial.c.id == attempt.trial)
        .where(tables.trial.c.study == study)
    ).one()
    return Cost(float(row[0] or 0.0), float(row[1] or 0.0))


def attempts(connection: Connection, study: int) -> list[Attempt]:
    """Every attempt at every trial, in the order of the trials and their epochs."""
    attempt, trial = tables.attempt, tables.trial
    statement = (
        select(trial.c.phase, trial.c.idx, attempt)
        .join(attempt, attempt.c.trial == trial.c.id)
        .where(trial.c.study == study)
        .order_by(trial.c.id, attempt.c.epoch)
    )
    return [
        Attempt(
            phase=row.phase,
            index=row.idx,
            epoch=row.epoch,
            owner=label(row.owner),
            started=row.started,
            ended=row.ended,
            reason=row.reason,
            cost=Cost(row.cpu_seconds, row.gpu_seconds),
        )
        for row in connection.execute(statement)
    ]
