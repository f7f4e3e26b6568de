"""Trials and outcomes as rows and back, bit for bit; a row's seal tells when it was damaged."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from archsearch.errors import StateError
from archsearch.spec.architecture import architecture_from_plain, to_plain
from archsearch.spec.trial import Curve, Metrics, Outcome, State, Trial

_MARK = "$float"
_NOT_FINITE = ("nan", "inf", "-inf")


def encode(plain: Any) -> str:
    """JSON text in which a float that is not finite stands as ``{"$float": "nan"}``."""
    try:
        return json.dumps(plain, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_marked(plain), allow_nan=False, separators=(",", ":"))


def decode(text: str) -> Any:
    """The inverse of :func:`encode`; tuples come back as lists."""
    return json.loads(text, object_hook=_unmarked if _MARK in text else None)


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


def trial_from(row: Mapping[str, Any], outcome: Outcome) -> Trial:
    """The trial of a row; raises StateError if the row is not as it was written."""
    names = (
        "study", "phase", "idx", "role", "point", "architecture", "digest", "seed", "job_key"
    )  # fmt: skip
    if _seal({name: row[name] for name in names}) != row["seal"]:
        raise StateError(_damaged(row))
    return Trial(
        index=row["idx"],
        phase=row["phase"],
        point=tuple((path, value) for path, value in decode(row["point"])),
        architecture=architecture_from_plain(decode(row["architecture"])),
        digest=row["digest"],
        seed=row["seed"],
        outcome=outcome,
        role=row["role"],
    )


def outcome_from(place: Mapping[str, Any], state: State, row: Mapping[str, Any]) -> Outcome:
    """The outcome of a result row of the trial at ``place``; raises StateError if damaged."""
    names = ("epoch", "metrics", "curve", "timings", "message", "weights", "lost")
    if _seal({**{name: row[name] for name in names}, "state": str(state)}) != row["seal"]:
        raise StateError(_damaged(place))
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
    return tuple((name, value) for name, value in plain)


def _damaged(row: Mapping[str, Any]) -> str:
    return (
        f"{row['phase']} trial {row['idx']} of study {row['study']} is not as it was written; "
        "the database is damaged or was edited: restore it from a copy"
    )


def _seal(row: Mapping[str, Any]) -> str:
    text = json.dumps([row[name] for name in sorted(row)])
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
