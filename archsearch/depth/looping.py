"""Another number of loops in use than in training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from archsearch.errors import InputError


@contextmanager
def looping(model: nn.Module, loops: int) -> Iterator[None]:
    """Inside, every looped stage of a model takes so many loops, or at most so many.

    What a tie has for each loop, those beyond the trained ones share with the last. States of
    streams begin anew. Raises InputError where a router was made for a number of its own, or where
    nothing loops.
    """
    stages = [stage for stage in getattr(model, "stages", ()) if getattr(stage, "loops", 1) > 1]
    if loops < 1 or not stages:
        raise InputError(f"expected a network that loops and at least one loop, got {loops}")
    trained = [stage.loops for stage in stages]
    for stage in stages:
        if not getattr(stage, "any_loops", True):
            raise InputError(f"a {type(stage).__name__} has its number of loops by its weights")
    try:
        for stage in stages:
            stage.loops = loops
        yield
    finally:
        for stage, number in zip(stages, trained, strict=True):
            stage.loops = number
