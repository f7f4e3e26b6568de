"""What a sparsity changes of the blocks themselves, so that a model can be built again with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from torch import nn

from archsearch.sparsity.thinned import rectified, thinned

OF_THINNED = ("which", "rank")
OF_RECTIFIED = ("shift", "inputs")
PLACE = "archsearch.sparsity.thinned"
Part = TypeVar("Part", bound=nn.Module)


def structure(name: str, options: Mapping[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """The function of :mod:`archsearch.sparsity.thinned` that a block passes, and its arguments."""
    if name in ("teal", "wina", "r_sparse"):
        return "thinned", {"kind": name} | _given(options, OF_THINNED)
    if name == "relufied":
        return "rectified", _given(options, OF_RECTIFIED)
    return None


def equipped(block: Part, name: str, options: Mapping[str, Any]) -> Part:
    """The block as a sparsity of that name needs it."""
    found = structure(name, options)
    if found is None:
        return block
    function, given = found
    return (thinned if function == "thinned" else rectified)(block, **given)


def _given(options: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: options[name] for name in names if name in options}
