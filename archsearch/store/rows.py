"""Trials and outcomes as rows and back, bit for bit; a row's seal tells when it was damaged."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from sys import intern
from typing import Any, cast

from archsearch.errors import StateError
from archsearch.spec.architecture import architecture_from_plain, to_plain
from archsearch.spec.trial import Curve, Metrics, Outcome, State, Trial
from archsearch.store.owner import label
from archsearch.store.records import StudyRecord

_MARK = "$float"
_NOT_FINITE = ("nan", "inf", "-inf")
_STUDY = ("name", "fingerprint", "space", "settings")
_TRIAL = ("study", "phase", "idx", "role", "point", "architecture", "digest", "seed", "job_key")
_RESULT = ("epoch", "metrics", "curve", "timings", "message", "weights", "lost")


class Damaged(StateError):
    """A row is not as it was written; whoever knows which database it is in says so."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not as it was written, by damage or an edit; restore a copy")


def encode(plain: Any) -> str:
    """JSON text in which a float that is not finite stands as ``{"$float": "nan"}``."""
    try:
        return json.dumps(plain, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_marked(plain), allow_nan=False, separators=(",", ":"))


def decode(text: str) -> Any:
    """The inverse of :func:`encode`; tuples come back as lists."""
    return json.loads(text, object_hook=_unmarked if _MARK in text else None)


def decode_all(texts: Sequence[str]) -> list[Any]:
    """Each text decoded, at once; raises Damaged unless each is one value."""
    try:
        found = decode(f"[{','.join(texts)}]")
    except (TypeError, ValueError):
        found = []
    if len(found) != len(texts):
        raise Damaged("the result of a trial")
    return cast("list[Any]", found)


def study_row(
    name: str, fingerprint: Mapping[str, Any], text: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """The columns of a study that never change once it is written, but for some settings."""
    row = {
        "name": name,
        "fingerprint": encode(dict(fingerprint)),
        "space": text,
        "settings": encode(dict(settings)),
    }
    return {**row, "seal": _seal(row)}


def study_from(row: Mapping[str, Any]) -> StudyRecord:
    """The study of a row; raises Damaged if the row is not as it was written."""
    if _seal({name: row[name] for name in _STUDY}) != row["seal"]:
        raise Damaged(f"study {row['id']}")
    return StudyRecord(
        id=row["id"],
        name=row["name"],
        fingerprint=decode(row["fingerprint"]),
        text=row["space"],
        settings=decode(row["settings"]),
        created=row["created"],
        ended=row["ended"],
        driver=None if row["driver"] is None else label(row["driver"]),
        lease_until=row["lease_until"],
        active_seconds=row["active_seconds"],
    )


def trial_row(study: int, trial: Trial, job_key: str) -> dict[str, Any]:
    """The columns of a trial that never change once it is written."""
    row = {
        "study": study,
        "phase": trial.phase,
        "idx": trial.index,
        "role": trial.role,
        "point": encode(trial.point),
        "architecture": encode(to_plain(trial.architecture)),
        "digest": trial.digest,
        "seed": trial.seed,
        "job_key": job_key,
    }
    return {**row, "seal": _seal(row)}


def result_row(epoch: int, outcome: Outcome) -> dict[str, Any]:
    """The columns of a result; its state is kept with the trial, yet sealed here."""
    row = {
        "epoch": epoch,
        "metrics": encode([[name, float(value)] for name, value in outcome.metrics]),
        "curve": encode(
            [
                [step, [[name, float(value)] for name, value in metrics]]
                for step, metrics in outcome.curve
            ]
        ),
        "timings": encode([[name, float(value)] for name, value in outcome.timings]),
        "message": outcome.message,
        "weights": outcome.weights,
        "lost": outcome.lost,
    }
    return {**row, "seal": _seal({**row, "state": str(outcome.state)})}


def check_trial(row: Mapping[str, Any], result: Mapping[str, Any]) -> None:
    """Raise Damaged unless a trial and the result that its state speaks of are as written."""
    whole = _seal({name: row[name] for name in _TRIAL}) == row["seal"]
    if whole and row["state"] != State.RUNNING:
        sealed = {**{name: result[name] for name in _RESULT}, "state": row["state"]}
        whole = _seal(sealed) == result["seal"]
    if not whole:
        raise Damaged(f"{row['phase']} trial {row['idx']} of study {row['study']}")


def trial_from(row: Mapping[str, Any], result: Mapping[str, Any]) -> Trial:
    """The trial of its two rows; raises Damaged if they are not as they were written."""
    check_trial(row, result)
    return Trial(
        index=row["idx"],
        phase=intern(row["phase"]),
        point=_pairs(decode(row["point"])),
        architecture=architecture_from_plain(decode(row["architecture"])),
        digest=row["digest"],
        seed=row["seed"],
        outcome=_outcome_from(State(row["state"]), result),
        role=row["role"],
    )


def _outcome_from(state: State, row: Mapping[str, Any]) -> Outcome:
    if state is State.RUNNING:
        return Outcome(state)
    curve: Curve = tuple((step, _pairs(metrics)) for step, metrics in decode(row["curve"]))
    return Outcome(
        state=state,
        metrics=_pairs(decode(row["metrics"])),
        curve=curve,
        message=row["message"],
        timings=_pairs(decode(row["timings"])),
        weights=row["weights"],
        lost=row["lost"],
    )


def _pairs(plain: list[list[Any]]) -> Metrics:
    # one text for a name, however many trials have it
    return cast("Metrics", tuple((intern(name), value) for name, value in plain))


def _seal(row: Mapping[str, Any]) -> str:
    # a damaged row of SQLite may hold bytes where text was written
    text = json.dumps([row[name] for name in sorted(row)], default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _marked(plain: Any) -> Any:
    match plain:
        case float() if not math.isfinite(plain):
            return {_MARK: str(float(plain))}
        case Mapping():
            return {key: _marked(value) for key, value in plain.items()}
        case list() | tuple():
            return [_marked(value) for value in plain]
        case _:
            return plain


def _unmarked(plain: dict[str, Any]) -> Any:
    if len(plain) == 1 and plain.get(_MARK) in _NOT_FINITE:
        return float(plain[_MARK])
    return plain
