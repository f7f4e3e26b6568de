"""A declaration as plain data, for one read in another process, and whether it holds together."""

from __future__ import annotations

import re
from typing import Any

from archsearch.errors import SpaceError
from archsearch.spec.architecture import Layer, Value, to_plain, value_from_plain
from archsearch.spec.catalog import CellType, LayerType, Option
from archsearch.spec.domains import FloatRange, IntRange

# keys that mean something else where a layer's options are written
RESERVED = ("name", "options", "choice", "int", "float", "label")

_TYPES = {kind.__name__: kind for kind in (bool, int, float, str, tuple, Layer, type(None))}
_RANGES = {"int": IntRange, "float": FloatRange}
_OPTION = re.compile("[A-Za-z_][A-Za-z0-9_]{0,63}")
_TARGET = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def declaration_to_plain(declared: LayerType) -> dict[str, Any]:
    """What JSON can hold of a declaration; its target must be ``"module:attribute"``."""
    plain: dict[str, Any] = {
        "name": declared.name,
        "target": declared.target,
        "kind": declared.kind,
        "doc": declared.doc,
        "source": declared.source,
        "distribution": declared.distribution,
        "metrics": list(declared.metrics),
        "options": {key: _option_to_plain(option) for key, option in declared.options.items()},
    }
    if isinstance(declared, CellType):
        plain["cell"] = {
            "causal": declared.causal,
            "has_step": declared.has_step,
            "cost": declared.cost,
            "half_precision": declared.half_precision,
        }
    return plain


def declaration_from_plain(plain: dict[str, Any]) -> LayerType:
    """The inverse of :func:`declaration_to_plain`; raises LookupError, TypeError or ValueError."""
    parts = dict(plain)
    cell = parts.pop("cell", None)
    parts["metrics"] = tuple(parts["metrics"])
    parts["options"] = {key: _option_from_plain(part) for key, part in parts["options"].items()}
    return LayerType(**parts) if cell is None else CellType(**parts, **cell)


def check_declaration(declared: LayerType) -> None:
    """Raise SpaceError, with the option, for what no space file could be read with."""
    if not isinstance(declared.target, str) or not _TARGET.fullmatch(declared.target):
        raise SpaceError("its target must be a text 'module:attribute'")
    for text in (declared.doc, declared.source):
        if not isinstance(text, str) or not text.isprintable():
            raise SpaceError("its doc and source must be texts of visible characters")
    earlier: dict[str, Option] = {}
    for key, option in declared.options.items():
        if key in RESERVED or not _OPTION.fullmatch(key):
            raise SpaceError(f"an option may not be called '{key}'")
        try:
            _check_option(option, earlier)
        except SpaceError as error:
            raise SpaceError(f"option '{key}': {error}") from None
        earlier[key] = option


def _check_option(option: Option, earlier: dict[str, Option]) -> None:
    if option.choices == ():
        raise SpaceError("expected choices, got none")
    for choice in option.choices or ():
        if type(choice) not in _TYPES.values():
            kind = type(choice).__name__
            raise SpaceError(f"expected choices that are texts, numbers or tuples, got a {kind}")
    if option.choices is None and option.type not in (bool, int, float, str):
        raise SpaceError(f"expected bool, int, float or str as type, got {option.type.__name__}")
    if not option.doc.isprintable():
        raise SpaceError("its doc must be a text of visible characters")
    if option.language is not None:
        raise SpaceError("a language is no plain data: it cannot be read in another process")
    option.normal(option.default)
    match option.search:
        case None:
            pass
        case IntRange() | FloatRange() as searched:
            if not option.normal(searched.low) <= option.normal(searched.high):  # type: ignore[operator]
                raise SpaceError("expected a searched range from low to high")
            if (searched.log and searched.low <= 0) or (searched.step or 1) <= 0:
                raise SpaceError("expected a step above 0, and a low above 0 with log")
        case tuple() as values:
            for value in values:
                option.normal(value)
        case other:
            kind = type(other).__name__
            raise SpaceError(
                f"expected a tuple, an IntRange or a FloatRange to be searched, got a {kind}"
            )
    for name, values in option.when:
        if name not in earlier:
            raise SpaceError(f"its condition names '{name}', which is no option before it")
        for value in values:
            earlier[name].normal(value)


def _option_to_plain(option: Option) -> dict[str, Any]:
    search: Any = None
    match option.search:
        case IntRange() | FloatRange() as searched:
            kind = "int" if isinstance(searched, IntRange) else "float"
            search = {kind: vars(searched)}
        case tuple() as values:
            search = to_plain(values)
    return {
        "default": to_plain(option.default),
        "type": option.type.__name__,
        "choices": to_plain(option.choices),
        "low": option.low,
        "high": option.high,
        "search": search,
        "when": [[name, to_plain(values)] for name, values in option.when],
        "doc": option.doc,
        "added": option.added,
        "aliases": [
            [to_plain(name), [[key, to_plain(value)] for key, value in settings]]
            for name, settings in option.aliases
        ],
    }


def _option_from_plain(plain: dict[str, Any]) -> Option:
    search: Any = None
    match plain["search"]:
        case dict() as searched:
            ((kind, bounds),) = searched.items()
            search = _RANGES[kind](**bounds)
        case list() as values:
            search = value_from_plain(values)
    choices: Any = value_from_plain(plain["choices"])
    return Option(
        default=value_from_plain(plain["default"]),
        type=_TYPES[plain["type"]],
        choices=choices,
        low=plain["low"],
        high=plain["high"],
        search=search,
        when=tuple((name, _values(values)) for name, values in plain["when"]),
        doc=plain["doc"],
        added=plain["added"],
        aliases=tuple(
            (
                value_from_plain(name),
                tuple((key, value_from_plain(value)) for key, value in settings),
            )
            for name, settings in plain["aliases"]
        ),
    )


def _values(plain: list[Any]) -> tuple[Value, ...]:
    return tuple(value_from_plain(value) for value in plain)
