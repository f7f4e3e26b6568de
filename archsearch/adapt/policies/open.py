"""Policies by name, and back from plain data that a stranger may have written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from typing import Any

from archsearch.adapt.chain import Chain, read_chain
from archsearch.adapt.policies.cascade import Cascade, Patience, Rung
from archsearch.adapt.policies.halting import SOONER, Halting
from archsearch.adapt.policies.policy import Policy
from archsearch.adapt.policies.router import Router
from archsearch.adapt.policies.static import Prefix, Static
from archsearch.adapt.policies.view import SIGNALS
from archsearch.adapt.walk import Walk

MOST = 1000


def policy_to_plain(policy: Policy) -> dict[str, Any]:
    return {"name": policy.name, **policy.to_plain()}


def policy_from_plain(plain: Mapping[str, Any], walk: Walk) -> Policy:
    """The inverse, for a network; KeyError, TypeError or ValueError for anything malformed."""
    return _OPEN[plain["name"]](plain, walk)


def _static(kind: type[Static]) -> Callable[[Mapping[str, Any], Walk], Policy]:
    return lambda plain, walk: kind(_chains(plain["steps"], walk))


def _cascade(plain: Mapping[str, Any], walk: Walk) -> Policy:
    if plain["signal"] not in SIGNALS:
        raise ValueError(f"expected one of {', '.join(SIGNALS)} as signal")
    return Cascade(plain["signal"], _rungs(plain["rungs"], walk), _numbers(plain["thresholds"]))


def _patience(plain: Mapping[str, Any], walk: Walk) -> Policy:
    return Patience(_rungs(plain["rungs"], walk), *_numbers([plain["tolerance"]]))


def _router(plain: Mapping[str, Any], walk: Walk) -> Policy:
    library = _chains(plain["library"], walk)
    weights = tuple(_numbers(row, 1 << 16) for row in _list(plain["weights"]))
    bias = _numbers(plain["bias"])
    features = 2 * walk.model.embed.width if hasattr(walk.model.embed, "width") else None
    lengths = {len(row) for row in weights}
    if not library or not len(library) == len(weights) == len(bias) or len(lengths) != 1:
        raise ValueError("expected weights and a bias for each chain")
    if features is not None and lengths != {features}:
        raise ValueError(f"expected {features} weights for each chain")
    return Router(library, weights, bias, _numbers(plain["prices"]))


def _halting(plain: Mapping[str, Any], walk: Walk) -> Policy:
    stages = tuple((number, name) for number, name in _list(plain["stages"]))
    for number, name in stages:
        stage = walk.model.stages[number]
        if type(number) is not int or SOONER.get(type(stage).__name__) != name:
            raise ValueError(f"stage {number} has no {name}")
    return Halting(stages, _numbers(plain["rests"]))


_OPEN: dict[str, Callable[[Mapping[str, Any], Walk], Policy]] = {
    "static": _static(Static),
    "prefix": _static(Prefix),
    "cascade": _cascade,
    "patience": _patience,
    "router": _router,
    "halting": _halting,
}


def _chains(plain: Any, walk: Walk) -> tuple[Chain, ...]:
    return tuple(_chain(text, walk) for text in _list(plain))


def _rungs(plain: Any, walk: Walk) -> tuple[Rung, ...]:
    return tuple(Rung(_chain(look, walk), _chain(take, walk)) for look, take in _list(plain))


def _chain(text: Any, walk: Walk) -> Chain:
    if not isinstance(text, str):
        raise TypeError("expected a chain")
    return read_chain(text, walk.depth)


def _numbers(plain: Any, most: int = MOST) -> tuple[float, ...]:
    numbers = tuple(_list(plain, most))
    if not all(type(number) in (int, float) and isfinite(number) for number in numbers):
        raise ValueError("expected finite numbers")
    return tuple(float(number) for number in numbers)


def _list(plain: Any, most: int = MOST) -> Sequence[Any]:
    if not isinstance(plain, list) or len(plain) > most:
        raise ValueError(f"expected a list of at most {most}")
    return plain
