"""Trials started or finished in one statement, where the database can; each says whether it did.

What the plain statements of :mod:`archsearch.store.attempts` ask and write one after the other, for
one trial after the other, is one round trip here, and round trips are most of what a write to a
server costs. Of each trial a statement writes all that belongs together, or nothing; unless it did
so for all, the plain ones find out why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import CTE, bindparam, column, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.engine import Connection
from sqlalchemy.sql.dml import ReturningInsert
from sqlalchemy.types import TypeEngine

from archsearch.spec.trial import State
from archsearch.store.tables import attempt, result, trial

Rows = Sequence[Mapping[str, Any]]


def _given(columns: Mapping[str, TypeEngine[Any]]) -> CTE:
    """A table whose columns are parameters (``given_`` before the name), each a list of values."""
    lists = [bindparam(f"given_{name}", type_=ARRAY(kind)) for name, kind in columns.items()]
    rows = func.unnest(*lists).table_valued(*[column(*each) for each in columns.items()])
    return select(rows.render_derived()).cte("given")


_TRIAL = {column.name: column.type for column in trial.c if column.name != "id"}
_ASKED = _given(_TRIAL)
_BEGUN = (
    insert(trial)
    .from_select(list(_TRIAL), select(_ASKED))
    .on_conflict_do_nothing(index_elements=["study", "phase", "idx"])
    .returning(trial.c.id)
    .cte("begun")
)
# the same for all that a driver begins at once
_TRIED = {
    column.name: bindparam(f"tried_{column.name}", type_=column.type)
    for column in attempt.c
    if column.name not in ("trial", "ended", "reason")
}
_START = (
    insert(attempt)
    .from_select(["trial", *_TRIED], select(_BEGUN.c.id, *_TRIED.values()))
    .returning(attempt.c.trial)
)

_SPENT = {name: attempt.c[name].type for name in ("reason", "cpu_seconds", "gpu_seconds")}
_TOLD = {column.name: column.type for column in result.c if column.name != "trial"}
_ENDS = _given(
    {name: trial.c[name].type for name in ("study", "phase", "idx", "state")} | _SPENT | _TOLD
)
_DONE = (
    update(trial)
    .where(
        *(trial.c[name] == _ENDS.c[name] for name in ("study", "phase", "idx", "epoch")),
        trial.c.state == str(State.RUNNING),
    )
    .values(state=_ENDS.c.state)
    .returning(trial.c.id, *(_ENDS.c[name] for name in (*_SPENT, *_TOLD)))
    .cte("done")
)
_OVER = (
    update(attempt)
    .where(attempt.c.trial == _DONE.c.id, attempt.c.epoch == _DONE.c.epoch)
    .values(ended=bindparam("at"), **{name: _DONE.c[name] for name in _SPENT})
    .cte("over")
)
_FINISH = (
    insert(result)
    .from_select(["trial", *_TOLD], select(_DONE.c.id, *(_DONE.c[name] for name in _TOLD)))
    .add_cte(_OVER)
    .returning(result.c.trial)
)


def possible(connection: Connection) -> bool:
    """Whether the database lets one statement write to several tables."""
    return connection.dialect.name == "postgresql"


def start(connection: Connection, begun: Rows, tried: Mapping[str, Any]) -> bool:
    """Write trials with their first attempts; False if there was one of them already."""
    of_all = {f"tried_{name}": value for name, value in tried.items()}
    return _wrote(connection, _START, begun, of_all)


def finish(connection: Connection, done: Rows, ended: float) -> bool:
    """End attempts and write their results; False unless each was the current one and running."""
    return _wrote(connection, _FINISH, done, {"at": ended})


def _wrote(
    connection: Connection, statement: ReturningInsert[Any], rows: Rows, others: Mapping[str, Any]
) -> bool:
    if not rows:
        return True
    lists = {f"given_{name}": [row[name] for row in rows] for name in rows[0]}
    return len(connection.execute(statement, {**lists, **others}).all()) == len(rows)
