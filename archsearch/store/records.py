"""What the store tells besides trials: studies, attempts and costs, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class StudyRecord:
    """One study; times are seconds since 1970 by the clock of the database.

    ``fingerprint`` is what must be unchanged for it to be continued, ``text`` its space file,
    ``ended`` why its search ended, ``driver`` the ``pid@host`` that last held it and has not let
    go, ``lease_until`` how long that holds without a sign of life.
    """

    id: int
    name: str
    fingerprint: dict[str, Any]
    text: str
    settings: dict[str, Any]
    created: float
    ended: str | None = None
    driver: str | None = None
    lease_until: float | None = None
    active_seconds: float = 0.0


@dataclass(frozen=True)
class Cost:
    """Core-seconds spent, lost attempts included as far as they were accounted for."""

    cpu_seconds: float = 0.0
    gpu_seconds: float = 0.0


@dataclass(frozen=True)
class Attempt:
    """One try at a trial; the trial's current epoch is the number of its latest attempt."""

    phase: str
    index: int
    epoch: int
    owner: str
    started: float
    ended: float | None
    reason: str | None
    cost: Cost
