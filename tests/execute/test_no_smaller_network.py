"""What is said where no child of a network can be built, or none is small enough."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from archsearch.build import build
from archsearch.errors import InputError
from archsearch.execute.shrink import children
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.signature import Signature

CATALOG = load_catalog()
SIGNATURE = Signature("values", 3, "value", 2, every_step=False, length=7)


def parent(cell: str) -> Any:
    shape = CATALOG.complete_architecture(Architecture(8, (Stage((Block(Layer(cell)),)),)))
    model = build(shape, CATALOG, SIGNATURE, seed=0)
    params = sum(part.numel() for part in model.parameters())
    return SimpleNamespace(architecture=shape, signature=SIGNATURE, params=params)


def test_what_cannot_be_built_is_told_from_what_is_too_large() -> None:
    with pytest.raises(InputError, match=r"no smaller network .* can be built: .*heads 4"):
        children(parent("attention"), CATALOG, 2, 0.9, 0)
    with pytest.raises(InputError, match=r"smaller networks has at most 0\.001 of its"):
        children(parent("gru"), CATALOG, 2, 0.001, 0)
