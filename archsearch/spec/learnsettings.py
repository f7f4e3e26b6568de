"""How a deployed model goes on learning from truths that arrive while it predicts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeAlias

from archsearch.errors import InputError
from archsearch.spec.words import suggestion

PLACES = ("head", "adapter")


@dataclass(frozen=True)
class StateSettings:
    """Moves the state of ``window`` steps ago by ``steps`` gradient steps of length ``rate``.

    A step that would raise the loss of the window is halved up to ``halvings`` times. The state
    stays within ``max_norm`` times its own size of where the export would be. The export answers
    until the learner was clearly better over about ``recent`` told steps; with 0 it never does.
    """

    name: ClassVar[str] = "state"
    window: int = 8
    steps: int = 1
    rate: float = 1.0
    halvings: int = 4
    max_norm: float = 1.0
    recent: int = 50

    def __post_init__(self) -> None:
        _check(self, whole={"window": 1, "steps": 1, "halvings": 0, "recent": 0})


@dataclass(frozen=True)
class MemorySettings:
    """S = ``momentum`` S - theta grad, M = (1 - ``forget``) M + S; M is added to the export.

    M is of the ``head``, or of an ``adapter`` of ``rank`` in front of it. theta is ``rate`` over
    one plus the squared length of what the head reads, so that a rate of 1 learns one truth whole.
    Truths may come up to ``window`` steps later. M stays within ``max_norm`` times the size of the
    head. ``recent`` is as for the state.
    """

    name: ClassVar[str] = "memory"
    where: str = "head"
    rank: int = 8
    rate: float = 0.1
    momentum: float = 0.5
    forget: float = 0.001
    window: int = 64
    max_norm: float = 1.0
    recent: int = 50

    def __post_init__(self) -> None:
        if self.where not in PLACES:
            raise InputError(f"where: expected {' or '.join(PLACES)}, got '{self.where}'")
        _check(self, whole={"rank": 1, "window": 1, "recent": 0}, shares=("momentum", "forget"))


Settings: TypeAlias = StateSettings | MemorySettings
LEARNERS: dict[str, type[StateSettings] | type[MemorySettings]] = {
    "state": StateSettings,
    "memory": MemorySettings,
}


def settings_of(name: str, assignments: Iterable[tuple[str, str]] = ()) -> Settings:
    """The settings of a learner, some of them given as text; InputError where one is amiss."""
    if name not in LEARNERS:
        raise InputError(f"no learner '{name}'{suggestion(name, LEARNERS)}")
    known: dict[str, type] = {f.name: type(f.default) for f in fields(LEARNERS[name])}
    given: dict[str, Any] = {}
    for key, text in assignments:
        if key not in known:
            hint = suggestion(key, known)
            raise InputError(f"the learner '{name}' has no {key}{hint}; it has {', '.join(known)}")
        try:
            given[key] = known[key](text)
        except ValueError:
            kind = "a whole number" if known[key] is int else "a number"
            raise InputError(f"{key}: expected {kind}, got '{text}'") from None
    return LEARNERS[name](**given)


def _check(settings: Settings, whole: dict[str, int], shares: tuple[str, ...] = ()) -> None:
    for key, least in whole.items():
        value = getattr(settings, key)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{key}: expected a whole number from {least}, got {value}")
    for key in ("rate", "max_norm", *shares):
        value = getattr(settings, key)
        legal = math.isfinite(value) and (0 <= value <= 1 if key in shares else value > 0)
        if not legal:
            wanted = "a number from 0 to 1" if key in shares else "a number above 0"
            raise InputError(f"{key}: expected {wanted}, got {value:g}")
