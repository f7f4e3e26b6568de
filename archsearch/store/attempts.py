"""The life of a trial in SQL: started, tried again when an attempt is lost, finished once.

Each function runs within the turn of the driver that holds the study, so nobody else changes its
trials meanwhile. Each may be repeated after a commit whose answer was lost. The epoch of a trial
is the number of its current attempt; what an earlier attempt reports is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update

from archsearch.errors import StateError
from archsearch.failpoints import failpoint
from archsearch.spec.trial import Metrics, Outcome, State, Trial
from archsearch.store import together
from archsearch.store.leases import Turn
from archsearch.store.rows import result_row, trial_row
from archsearch.store.tables import attempt, result, trial

# times a worker may be lost under a trial, which then is taken to be the trial's own doing
MOST_LOSSES = 3
# attempts in all: losing the driver is no fault of a trial, unless it happens again and again
MOST_ATTEMPTS = 20

_FIND = select(trial.c.id, trial.c.state, trial.c.epoch, trial.c.seal, attempt.c.driver_epoch)
_FIND = _FIND.join(
    attempt, (attempt.c.trial == trial.c.id) & (attempt.c.epoch == trial.c.epoch)
).where(
    trial.c.study == bindparam("of_study"),
    trial.c.phase == bindparam("of_phase"),
    trial.c.idx == bindparam("of_index"),
)
_LATER = attempt.alias()
# an attempt that the same driver began again was lost without it
_LOSSES = (
    select(func.count())
    .select_from(attempt)
    .join(
        _LATER,
        (_LATER.c.trial == attempt.c.trial)
        & (_LATER.c.epoch == attempt.c.epoch + 1)
        & (_LATER.c.driver_epoch == attempt.c.driver_epoch),
    )
    .where(attempt.c.trial == bindparam("of_trial"))
)
_SEAL = select(result.c.seal).where(result.c.trial == bindparam("of_trial"))
_START, _TRY, _RESULT = insert(trial), insert(attempt), insert(result)
_SET = update(trial).where(trial.c.id == bindparam("of_trial"))
_SET_STATE = _SET.values(state=bindparam("new_state"))
_SET_EPOCH = _SET.values(epoch=bindparam("new_epoch"))
_END = update(attempt).where(
    attempt.c.trial == bindparam("of_trial"), attempt.c.epoch == bindparam("of_epoch")
)


@dataclass(frozen=True)
class Standing:
    """Where a stored trial stands, and under which driver its current attempt began."""

    id: int
    state: str
    epoch: int
    seal: str
    driver_epoch: int


def start(turn: Turn, begun: Sequence[tuple[Trial, str]]) -> list[int]:
    """Write trials, with their job keys, and their first attempts; returns the epochs, 1 each.

    A trial that has an outcome already is written as finished.
    """
    fresh = {"state": str(State.RUNNING), "epoch": 1}
    rows = [{**trial_row(turn.hold.study, *each), **fresh} for each in begun]
    at_once = together.possible(turn.connection)
    if not (at_once and together.start(turn.connection, rows, _attempt(turn, 1))):
        for (began, _), row in zip(begun, rows, strict=True):
            _start(turn, began, row)
    known = [began for began, _ in begun if began.state.final]
    written = finish(turn, [(began, 1, began.outcome) for began in known])
    for began, kept in zip(known, written, strict=True):
        if not kept:
            raise StateError(
                f"{began.phase} trial {began.index} of study {turn.hold.study} has another result; "
                "read the history and continue after it"
            )
    return [1 for _ in begun]


def restart(turn: Turn, lost: Trial, epoch: int, reason: str, timings: Metrics) -> int | None:
    """End attempt ``epoch`` and begin the next; None when the trial is final or had its last try.

    The last try is the third that was lost while its driver lived, or the twentieth of all. After
    it the trial is written as crashed in the same transaction.
    """
    row = _get(turn, lost)
    if row.state != State.RUNNING:
        return None
    if row.epoch == epoch + 1 and _is_ours(turn, row):
        return row.epoch
    _end(turn, row, reason, timings)
    losses = int(turn.connection.scalar(_LOSSES, {"of_trial": row.id}) or 0) + _is_ours(turn, row)
    if losses >= MOST_LOSSES or row.epoch >= MOST_ATTEMPTS:
        message = f"lost {row.epoch} times, last: {reason}"
        _write_result(turn, row, Outcome(State.CRASHED, message=message, lost=True))
        return None
    following = row.epoch + 1
    failpoint("store.restart")
    turn.connection.execute(_SET_EPOCH, {"of_trial": row.id, "new_epoch": following})
    _try(turn, row.id, following)
    return following


def finish(turn: Turn, done: Sequence[tuple[Trial, int, Outcome]]) -> list[bool]:
    """Write what came of attempts; False for one if a later attempt or another result stands.

    True also when this very result is already written.
    """
    for of, _, outcome in done:
        if not outcome.state.final:
            raise ValueError(f"{of.phase} trial {of.index} cannot be finished as running")
    if together.possible(turn.connection):
        rows = [_end_row(turn, *each) for each in done]
        if together.finish(turn.connection, rows, turn.moment):
            return [True for _ in done]
    return [_finish(turn, *each) for each in done]


def current_epoch(turn: Turn, of: Trial) -> int:
    return _get(turn, of).epoch


def _start(turn: Turn, began: Trial, row: dict[str, Any]) -> None:
    found = _find(turn, began)
    if found is None:
        done = turn.connection.execute(_START, row)
        key = done.inserted_primary_key
        assert key is not None
        failpoint("store.start")
        _try(turn, key[0], 1)
    elif found.seal != row["seal"] or found.epoch != 1 or not _is_ours(turn, found):
        raise StateError(
            f"{began.phase} trial {began.index} of study {turn.hold.study} was started before;"
            " read the history and continue after it"
        )


def _finish(turn: Turn, done: Trial, epoch: int, outcome: Outcome) -> bool:
    row = _get(turn, done)
    if row.epoch != epoch:
        return False
    if row.state != State.RUNNING:
        seal = turn.connection.scalar(_SEAL, {"of_trial": row.id})
        return bool(seal == result_row(epoch, outcome)["seal"])
    _end(turn, row, str(outcome.state), outcome.timings)
    _write_result(turn, row, outcome)
    return True


def _end_row(turn: Turn, done: Trial, epoch: int, outcome: Outcome) -> dict[str, Any]:
    """All that is to be known of a trial, its attempt and its result once it is finished."""
    return {
        "study": turn.hold.study,
        "phase": done.phase,
        "idx": done.index,
        "state": str(outcome.state),
        **_spending(str(outcome.state), outcome.timings),
        **result_row(epoch, outcome),
    }


def _find(turn: Turn, of: Trial) -> Standing | None:
    row = turn.connection.execute(_FIND, _place(turn, of)).one_or_none()
    return None if row is None else Standing(*row)


def _place(turn: Turn, of: Trial) -> dict[str, Any]:
    return {"of_study": turn.hold.study, "of_phase": of.phase, "of_index": of.index}


def _get(turn: Turn, of: Trial) -> Standing:
    found = _find(turn, of)
    if found is None:
        raise StateError(f"{of.phase} trial {of.index} of study {turn.hold.study} was not started")
    return found


def _is_ours(turn: Turn, row: Standing) -> bool:
    """Whether the current attempt was begun under this hold."""
    return row.driver_epoch == turn.hold.epoch


def _try(turn: Turn, number: int, epoch: int) -> None:
    turn.connection.execute(_TRY, {"trial": number, **_attempt(turn, epoch)})


def _attempt(turn: Turn, epoch: int) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "driver_epoch": turn.hold.epoch,
        "owner": turn.hold.owner,
        "started": turn.moment,
        "cpu_seconds": 0.0,
        "gpu_seconds": 0.0,
    }


def _end(turn: Turn, row: Standing, reason: str, timings: Metrics) -> None:
    place = {"of_trial": row.id, "of_epoch": row.epoch, "ended": turn.moment}
    turn.connection.execute(_END, {**place, **_spending(reason, timings)})


def _spending(reason: str, timings: Metrics) -> dict[str, Any]:
    """What is known of an attempt once it is over."""
    return {
        "reason": reason,
        "cpu_seconds": _spent(timings, "cpu_seconds"),
        "gpu_seconds": _spent(timings, "gpu_seconds"),
    }


def _write_result(turn: Turn, row: Standing, outcome: Outcome) -> None:
    state = {"of_trial": row.id, "new_state": str(outcome.state)}
    turn.connection.execute(_SET_STATE, state)
    failpoint("store.finish")
    turn.connection.execute(_RESULT, {"trial": row.id, **result_row(row.epoch, outcome)})


def _spent(timings: Metrics, name: str) -> float:
    seconds = float(dict(timings).get(name, 0.0))
    return seconds if math.isfinite(seconds) and seconds > 0.0 else 0.0
