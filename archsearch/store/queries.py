"""What can be asked of a store, each question in one statement."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, bindparam, func, select
from sqlalchemy.engine import Connection, CursorResult

from archsearch.spec.trial import Outcome, State, Trial
from archsearch.store import tables
from archsearch.store.owner import label
from archsearch.store.records import Attempt, Cost, StudyRecord
from archsearch.store.rows import Damaged, decode_all, study_from, trial_from

_ANSWERS = [str(s) for s in (State.COMPLETE, State.STOPPED, State.DIVERGED, State.INVALID)]
_RESULT = {column.name: f"result_{column.name}" for column in tables.result.c}
_TRIALS = select(
    tables.trial, *(tables.result.c[name].label(alias) for name, alias in _RESULT.items())
).join(tables.result, tables.result.c.trial == tables.trial.c.id, isouter=True)
_ANSWER = (
    _TRIALS.where(tables.trial.c.job_key == bindparam("of_key"), tables.trial.c.state.in_(_ANSWERS))
    .order_by(tables.trial.c.id)
    .limit(1)
)


def studies(connection: Connection, *where: ColumnElement[bool]) -> list[StudyRecord]:
    """The studies that fit, the oldest first."""
    statement = select(tables.study).where(*where).order_by(tables.study.c.id)
    return [study_from(_named(row)) for row in connection.execute(statement).mappings()]


def trials(connection: Connection, *where: ColumnElement[bool]) -> list[Trial]:
    """The trials that fit, with their outcomes, by phase and index."""
    order = tables.trial.c.phase, tables.trial.c.idx
    with _nothing_collected():
        return _trials(connection.execute(_TRIALS.where(*where).order_by(*order)))


def values(
    connection: Connection, timed: bool, *where: ColumnElement[bool]
) -> tuple[list[int], list[dict[str, float]]]:
    """The index of each complete trial that fits, and its metrics, with timings if ``timed``."""
    told = (tables.result.c.metrics, *([tables.result.c.timings] if timed else []))
    statement = (
        select(tables.trial.c.idx, *told)
        .join(tables.result, tables.result.c.trial == tables.trial.c.id)
        .where(tables.trial.c.state == str(State.COMPLETE), *where)
        .order_by(tables.trial.c.idx)
    )
    found = connection.execute(statement).all()
    if not found:
        return [], []
    with _nothing_collected():
        indices, *texts = zip(*found, strict=True)
        metrics, *timings = (decode_all(column) for column in texts)
        try:
            known = [dict(pairs) for pairs in metrics]
            # the metric of a name counts before the timing
            for of, by in zip(known, timings[0] if timings else (), strict=bool(timings)):
                of.update({**dict(by), **of})
        except (TypeError, ValueError):
            raise Damaged("the result of a trial") from None
        return list(indices), known


def rows(
    connection: Connection, *where: ColumnElement[bool]
) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """What is stored of the trials that fit: the row of each, and that of its result."""
    yield from _pairs(connection.execute(_TRIALS.where(*where)))


def answer(connection: Connection, job_key: str) -> Outcome | None:
    """The oldest outcome of that computation that any machine would give."""
    known = _trials(connection.execute(_ANSWER, {"of_key": job_key}))
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


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Of thousands of trials none is garbage; to look for it takes a third of reading them."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def _trials(found: CursorResult[Any]) -> list[Trial]:
    return [trial_from(*pair) for pair in _pairs(found)]


def _pairs(found: CursorResult[Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """The row of each trial, and that of its result, of None where there is none."""
    for mapping in found.mappings():
        row = _named(mapping)
        yield row, {name: row[alias] for name, alias in _RESULT.items()}


def _named(row: RowMapping) -> dict[str, Any]:
    return {str(name): value for name, value in row.items()}
