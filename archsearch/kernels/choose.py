"""Which form of a primitive runs: the plain one, or a faster one for the device at hand."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from importlib.util import find_spec
from pkgutil import resolve_name
from threading import RLock
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

# "plain" forces the form that is plain PyTorch, for comparison and for the search of a fault
VARIABLE = "ARCHSEARCH_KERNELS"
COMPILERS = {"cpu": "numba", "cuda": "triton"}

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_found: dict[str, Callable[..., object] | None] = {}
_importing = RLock()


def accelerated(
    **places: str,
) -> Callable[[Callable[Parameters, Result]], Callable[Parameters, Result]]:
    """Name the faster forms of a function, ``device="module:name"``; its body is the plain one.

    The device of the first argument decides. The plain form runs where there is no faster one,
    where its compiler is not installed, and where ARCHSEARCH_KERNELS is ``plain``. A faster form
    is imported when it is first called, and not while a graph is compiled. Models written out as
    plain PyTorch get the body alone.
    """

    def decorate(plain: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        @wraps(plain)
        def call(*inputs: Parameters.args, **options: Parameters.kwargs) -> Result:
            first = inputs[0]
            assert isinstance(first, Tensor)
            place = places.get(first.device.type)
            if place is None or os.environ.get(VARIABLE) == "plain":
                return plain(*inputs, **options)
            if place not in _found and torch.compiler.is_compiling():
                # an import has no place in a compiled or exported graph
                return plain(*inputs, **options)
            if place not in _found:
                # the compilers cannot be imported by two threads at once
                with _importing:
                    _found[place] = _find(place, COMPILERS[first.device.type])
            chosen = _found[place] or plain
            return chosen(*inputs, **options)  # type: ignore[return-value]

        call.plain = plain  # type: ignore[attr-defined]
        return call

    return decorate


def _find(place: str, compiler: str) -> Callable[..., object] | None:
    return resolve_name(place) if find_spec(compiler) else None  # type: ignore[no-any-return]
