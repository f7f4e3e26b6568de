"""Trial records made by hand."""

from __future__ import annotations

from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.trial import Outcome, State, Trial


def make_trial(
    index: int,
    state: State = State.COMPLETE,
    *,
    width: int | None = None,
    role: str = "",
    seed: int = 0,
    timings: dict[str, float] | None = None,
    message: str = "",
    **metrics: float,
) -> Trial:
    own_width = 8 + index if width is None else width
    architecture = Architecture(own_width, (Stage((Block(Layer("gru")),)),))
    outcome = Outcome(
        state, tuple(metrics.items()), message=message, timings=tuple((timings or {}).items())
    )
    return Trial(index, "search", (), architecture, architecture.digest, seed, outcome, role=role)
