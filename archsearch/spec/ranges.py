"""One value of a space as written: a literal, or a range of numbers, checked by its option."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from archsearch.errors import LocatedError, SpaceError
from archsearch.spec.catalog import Option
from archsearch.spec.domains import FloatRange, IntRange
from archsearch.spec.forms import Form, Reading, Schema
from archsearch.spec.positions import Listing, Located, Scalar, Table, describe, fault, relocated
from archsearch.spec.scalars import number_hint, resolve, whole
from archsearch.spec.sections import unknown_key
from archsearch.spec.tree import Fixed, Node, Range, join

LARGEST = 2**53
LONGEST = 4096
RANGES = {"int": int, "float": float}


@dataclass(frozen=True)
class OptionValue(Form):
    """A literal that an option allows; with ``open_`` also a range within the option's bounds."""

    option: Option
    open_: bool = True

    @property
    def words(self) -> str:
        return self.option.expected

    def read(self, node: Located, key: str, reading: Reading) -> Node:
        if isinstance(node, Table) and self.open_ and node.entries:
            return self._range(node, key)
        return Fixed(self._literal(node, key))

    def schema(self) -> Schema:
        literal = _literal_schema(self.option)
        if (
            not self.open_
            or self.option.choices is not None
            or self.option.type not in (int, float)
        ):
            return literal
        return {"anyOf": [literal, _range_schema(self.option.type)]}

    def _literal(self, node: Located, key: str) -> Any:
        value = self._plain(node, key)
        hint = ""
        if isinstance(node, Scalar) and self.option.type in (int, float):
            hint = number_hint(node)
        try:
            # a larger number has neighbours that read the same as a real number
            if type(value) is int and abs(value) > LARGEST:
                raise self.fault(node, key)
            if isinstance(value, str) and len(value) > LONGEST:
                raise fault(node.place, key, self.words, f"{len(value)} characters")
            if isinstance(value, str) and not value.isprintable():
                raise fault(node.place, key, self.words, "a text with invisible characters")
            return self.option.normal(value)
        except SpaceError as error:
            raise relocated(node.place, key, f"{error}{hint}") from None

    def _plain(self, node: Located, key: str) -> Any:
        if isinstance(node, Scalar):
            return whole(node) if self.option.type is int else resolve(node)
        lists = any(isinstance(choice, tuple) for choice in self.option.choices or ())
        if isinstance(node, Listing) and lists:
            return tuple(self._plain(item, key) for item in node.items)
        raise self.fault(node, key)

    def _range(self, node: Table, key: str) -> Range:
        kind = next((name for name in RANGES if name in node), None)
        if kind is None or self.option.choices is not None or RANGES[kind] is not self.option.type:
            got = f"{{{node.entries[0][0].text}: ...}}"
            raise fault(node.place, key, self.words, got)
        for name, _ in node.entries:
            if name.text not in (kind, "log", "step"):
                raise unknown_key(name, key, dict.fromkeys((kind, "log", "step")))
        low, high = self._bounds(node.get(kind) or node, join(key, kind))
        log = self._log(node, key, low)
        step = self._step(node, key, low, high, log)
        if kind == "int":
            return Range(IntRange(low, high, 1 if step is None else step, log))
        return Range(FloatRange(low, high, step, log))

    def _bounds(self, value: Located, path: str) -> tuple[Any, Any]:
        if not isinstance(value, Listing) or len(value.items) != 2:
            raise fault(value.place, path, "two numbers: [low, high]", describe(value))
        low, high = (self._literal(item, f"{path}.{at}") for at, item in enumerate(value.items))
        if low is None or high is None:
            raise fault(value.place, path, "two numbers: [low, high]", "nothing")
        if low > high:
            raise fault(value.place, path, "low before high", f"[{low:g}, {high:g}]")
        return low, high

    def _log(self, node: Table, key: str, low: float) -> bool:
        value = node.get("log")
        if value is None:
            return False
        log = resolve(value) if isinstance(value, Scalar) else None
        if not isinstance(log, bool):
            raise fault(value.place, join(key, "log"), "true or false", describe(value))
        if log and low <= 0:
            raise fault(value.place, join(key, "log"), "a range above 0 with log", f"low {low:g}")
        return log

    def _step(self, node: Table, key: str, low: float, high: float, log: bool) -> Any:
        value = node.get("step")
        if value is None:
            return None
        path = join(key, "step")
        step: Any = self._plain(value, path)
        if self.option.type is float and type(step) is int:
            step = float(step)
        right = type(step) is self.option.type
        if not right or not 0 < step <= LARGEST:
            raise _bad_step(value, path, f"{_kind(self.option)} above 0")
        if log:
            raise _bad_step(value, path, "either log or a step")
        steps = (high - low) / step
        if steps > LARGEST or abs(steps - round(steps)) > 1e-6:
            raise _bad_step(value, path, f"a step that divides the range {low:g} to {high:g}")
        return step


def _bad_step(node: Located, path: str, expected: str) -> LocatedError:
    return fault(node.place, path, expected, describe(node))


def _kind(option: Option) -> str:
    return "a whole number" if option.type is int else "a number"


def _literal_schema(option: Option) -> Schema:
    """The legal literals; a declared value that is no JSON scalar is a list."""
    if option.choices is not None:
        return {"enum": [list(c) if isinstance(c, tuple) else c for c in option.choices]}
    names = {int: "integer", float: "number", bool: "boolean", str: "string"}
    schema: Schema = {"type": names[option.type]}
    if option.default is None:
        schema["type"] = [names[option.type], "null"]
    if option.low is not None:
        schema["minimum"] = option.low
    if option.high is not None:
        schema["maximum"] = option.high
    return schema


def _range_schema(kind: type) -> Schema:
    name, number = ("int", "integer") if kind is int else ("float", "number")
    bounds = {"type": "array", "items": {"type": number}, "minItems": 2, "maxItems": 2}
    return {
        "type": "object",
        "properties": {
            name: bounds,
            "log": {"type": "boolean"},
            "step": {"type": number, "exclusiveMinimum": 0},
        },
        "required": [name],
        "additionalProperties": False,
    }
