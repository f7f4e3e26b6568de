"""Which faults are for which tier: a few always, some with each change, all of them to soak."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def tiered(values: Iterable[Any], few: Collection[Any], some: Collection[Any]) -> list[Any]:
    """The values as parameters of a test, marked by the tier that is the first to have each."""
    return [pytest.param(value, marks=_marks(value, few, some)) for value in values]


def _marks(value: Any, few: Collection[Any], some: Collection[Any]) -> list[pytest.MarkDecorator]:
    if value in few:
        return []
    return [pytest.mark.faults if value in some else pytest.mark.soak]
