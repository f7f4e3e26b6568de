"""The settings of a layer that its tests are made for."""

from __future__ import annotations

from archsearch.spec.architecture import Layer, Value
from archsearch.spec.catalog import LayerType
from archsearch.spec.domains import FloatRange, IntRange

Options = dict[str, Value]


def variants(declared: LayerType) -> list[Options]:
    """The defaults, then each declared choice of each option once, its conditions met."""
    found: dict[Layer, Options] = {}
    for key, option in declared.options.items():
        for value in (option.default, *(option.choices or ()), *_explored(option.search)):
            given = {name: values[0] for name, values in option.when} | {key: value}
            layer = declared.complete(Layer.of(declared.name, **given))
            found.setdefault(layer, declared.settings(layer))
    return list(found.values()) or [{}]


def _explored(search: tuple[Value, ...] | IntRange | FloatRange | None) -> tuple[Value, ...]:
    if isinstance(search, IntRange | FloatRange):
        return search.low, search.high
    return search or ()
