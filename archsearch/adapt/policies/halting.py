"""A network that halts by itself, made to halt sooner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from archsearch.adapt.chain import Chain
from archsearch.adapt.policies.policy import Decision, Policy
from archsearch.adapt.policies.view import View
from archsearch.adapt.walk import Walk

# the option of each halting stage that lets positions go sooner when it is larger
SOONER = {"AdaptiveDepth": "threshold", "PonderDepth": "until", "SaturatedDepth": "rest"}
RESTS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Halting(Policy):
    """The rest at which positions stop rises along the knob, in all ``stages`` that have one."""

    name: ClassVar[str] = "halting"
    stages: tuple[tuple[int, str], ...]
    rests: tuple[float, ...]

    @property
    def settings(self) -> int:
        return 1 + len(self.rests)

    @property
    def chains(self) -> tuple[Chain, ...]:
        return ()

    def decide(self, view: View, setting: int) -> Decision:
        changes = []
        if setting:
            changes = [(stage, name, self.rests[setting - 1]) for stage, name in self.stages]
        prediction, layers = view.halted(changes)
        return Decision(prediction, layers, None)

    def to_plain(self) -> dict[str, Any]:
        return {"stages": [list(stage) for stage in self.stages], "rests": list(self.rests)}


def halting_of(walk: Walk) -> Halting | None:
    """The policy of a network with stages that halt; None without."""
    stages = tuple(
        (number, SOONER[type(stage).__name__])
        for number, stage in enumerate(walk.model.stages)
        if type(stage).__name__ in SOONER
    )
    if not stages:
        return None
    own = max(float(getattr(walk.model.stages[number], name)) for number, name in stages)
    return Halting(stages, tuple(rest for rest in RESTS if rest > own))
