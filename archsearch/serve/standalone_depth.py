"""The part of a plain PyTorch export that adapts its depth: the policy and its certificate."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor

from archsearch.adapt.adapted import Adapted, rounded_up
from archsearch.adapt.policies.cascade import Cascade, Patience
from archsearch.adapt.policies.halting import Halting
from archsearch.adapt.policies.policy import Policy
from archsearch.adapt.policies.router import Router
from archsearch.adapt.policies.static import Prefix, Static
from archsearch.adapt.policies.view import WholeView
from archsearch.adapt.walk import Walk
from archsearch.errors import InputError
from archsearch.serve.bundle import Bundle
from archsearch.serve.manifest import WEIGHTS
from archsearch.serve.modules import Key

WRITTEN: tuple[type[Policy], ...] = (Static, Prefix, Cascade, Patience, Router, Halting)
ADAPTIVE = ("archsearch.serve.adaptive", "Adaptive")
TAKEN = ("DEPTH", "load_adaptive")
LINE = 100

_USAGE = """
    from model import load_adaptive

    adaptive = load_adaptive()                   # certified with compute={limit} or more
    prediction, layers = adaptive(x, compute={limit})  # layers: (batch,), those that were applied
"""

_TAIL = '''

DEPTH = {depth}


def load_adaptive(weights: str | Path = Path(__file__).with_name("{weights}")) -> {adaptive}:
    """The trained network, and how much of it each input gets."""
    return {adaptive}(load(weights), DEPTH, {classes})
'''


def needed(adapted: Adapted) -> list[Key]:
    """What its text uses; InputError where its policy cannot be written out."""
    if type(adapted.policy) not in WRITTEN:
        known = ", ".join(policy.name for policy in WRITTEN)
        raise InputError(
            f"the policy '{adapted.policy.name}' cannot be written out as plain PyTorch; "
            f"these can: {known}"
        )
    return [ADAPTIVE, *dict.fromkeys(_keys(_unreported(adapted)))]


def usage(adapted: Adapted) -> str:
    """For the head of the file."""
    return _USAGE.format(limit=rounded_up(adapted.compute[adapted.certified]))


def constructed(adapted: Adapted, classes: bool, name: Callable[[Key], str]) -> str:
    """The end of the file; ``name`` says what things are called there."""
    depth = _said(_unreported(adapted), name, 0)
    return _TAIL.format(depth=depth, weights=WEIGHTS, adaptive=name(ADAPTIVE), classes=classes)


def check_depth(written: Any, bundle: Bundle, samples: Iterable[Tensor]) -> None:
    """Compare a written ``load_adaptive()`` with the bundle's policy at each place of its knob.

    InputError where an answer, a number of layers, or what is certified differs.
    """
    walk, classes = Walk(bundle.model()), bundle.signature.targets == "class"
    known = bundle.adapted(walk)
    assert known is not None
    there = written.adapted
    same = (there.compute, there.certified) == (known.compute, known.certified)
    for x in samples:
        for lengths in (None, torch.arange(len(x)) % x.shape[1] + 1):
            for setting in range(known.policy.settings):
                decision = known.policy.decide(WholeView(walk, x, lengths, classes), setting)
                prediction, layers = written.at(setting, x, lengths)
                same = same and torch.equal(prediction, decision.prediction)
                same = same and torch.equal(layers, decision.layers)
    if not same:
        raise InputError("the written depth policy differs from the exported one")


def _unreported(adapted: Adapted) -> Adapted:
    """Without the report, which decides nothing."""
    return replace(adapted, report={})


def _key(value: Any) -> Key:
    return type(value).__module__, type(value).__qualname__


def _keys(value: Any) -> Iterator[Key]:
    """The classes that plain data is made of."""
    if is_dataclass(value):
        yield _key(value)
        for _, inner in _given(value):
            yield from _keys(inner)
    elif isinstance(value, tuple):
        for inner in value:
            yield from _keys(inner)


def _given(value: Any) -> Iterator[tuple[str, Any]]:
    """The fields of a dataclass, but those that a factory would give it."""
    for each in fields(value):
        inner = getattr(value, each.name)
        if each.default_factory is MISSING or inner != each.default_factory():
            yield each.name, inner


def _said(value: Any, name: Callable[[Key], str], indent: int) -> str:
    """Python that constructs plain data, in lines of 100 where that can be."""
    inside = indent + 4
    if is_dataclass(value):
        begin = f"{name(_key(value))}("
        parts = [f"{key}={_said(inner, name, inside)}" for key, inner in _given(value)]
        line = f"{begin}{', '.join(parts)})"
    elif isinstance(value, tuple):
        begin = "("
        parts = [_said(inner, name, inside) for inner in value]
        line = f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
    else:
        return repr(value)
    # with room for the name of a field
    if "\n" not in line and indent + len(line) < LINE - 20:
        return line
    if isinstance(value, tuple) and all(type(inner) in (int, float) for inner in value):
        parts = textwrap.wrap(", ".join(parts), LINE - inside - 1)
    body = "".join(f"{' ' * inside}{part.removesuffix(',')},\n" for part in parts)
    return f"{begin}\n{body}{' ' * indent})"
