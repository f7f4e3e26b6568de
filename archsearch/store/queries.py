"""What can be asked of a store, each question in one statement."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, RowMapping, func, select
from sqlalchemy.engine import Connection

from archsearch.spec.trial import Outcome, State, Trial
from archsearch.store import tables
from archsearch.store.owner import label
from archsearch.store.records import Attempt, Cost, StudyRecord
from archsearch.store.rows import outcome_from, study_from, trial_from

_ANSWERS = (State.COMPLETE, State.STOPPED, State.DIVERGED, State.INVALID)


def studies(connection: Connection, *where: ColumnElement[bool]) -> list[StudyRecord]:
    """The studies that fit, the oldest first."""
    statement = select(tables.study).where(*where).order_by(tables.study.c.id)
    return [study_from(_named(row)) for row in connection.execute(statement).mappings()]


def trials(
    connection: Connection, *where: ColumnElement[bool], most: int | None = None
) -> list[Trial]:
    """The trials that fit, with their outcomes, by phase and index; or the ``most`` oldest."""
    trial, result = tables.trial, tables.result
    statement = (
        select(trial, *(column.label(f"result_{column.name}") for column in result.c))
        .join(result, result.c.trial == trial.c.id, isouter=True)
        .where(*where)
        .order_by(*((trial.c.id,) if most else (trial.c.phase, trial.c.idx)))
        .limit(most)
    )
    found = []
    for mapping in connection.execute(statement).mappings():
        row = _named(mapping)
        columns = {column.name: row[f"result_{column.name}"] for column in result.c}
        found.append(trial_from(row, outcome_from(row, columns)))
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


def _named(row: RowMapping) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}
