"""Forms with parts: lists, mappings of metrics, and sections with a table of known keys."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from archsearch.errors import LocatedError
from archsearch.spec.document import parse
from archsearch.spec.forms import Form, Reading, Schema
from archsearch.spec.positions import Listing, Located, Place, Scalar, Table, fault, quote
from archsearch.spec.scalars import resolve
from archsearch.spec.tree import join
from archsearch.spec.words import suggestion


@dataclass(frozen=True)
class ListOf(Form):
    """A list of the same form."""

    of: Form
    least: int = 1
    most: int = 1000

    @property
    def words(self) -> str:
        return f"a list of {self.least} to {self.most}, each {self.of.words}"

    def read(self, node: Located, key: str, reading: Reading) -> tuple[Any, ...]:
        if not isinstance(node, Listing) or not self.least <= len(node.items) <= self.most:
            raise self.fault(node, key)
        return tuple(
            self.of.read(item, join(key, str(position)), reading)
            for position, item in enumerate(node.items)
        )

    def schema(self) -> Schema:
        items = self.of.schema()
        return {"type": "array", "items": items, "minItems": self.least, "maxItems": self.most}

    @property
    def inner(self) -> Form:
        return self.of


@dataclass(frozen=True)
class Metrics(Form):
    """A mapping of metric names to a form each, in the order of the document."""

    of: Form

    @property
    def words(self) -> str:
        return f"a mapping of metrics, each to {self.of.words}"

    def read(self, node: Located, key: str, reading: Reading) -> dict[str, Any]:
        if not isinstance(node, Table) or not node.entries:
            raise self.fault(node, key)
        values: dict[str, Any] = {}
        for name, value in node.entries:
            if not re.fullmatch(_METRIC, name.text):
                raise fault(name.place, key, "the name of a metric", quote(name.text))
            values[name.text] = self.of.read(value, join(key, name.text), reading)
            reading.metrics.append((name.text, name.place, key))
        return values

    def schema(self) -> Schema:
        return {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": f"^{_METRIC}$"},
            "additionalProperties": self.of.schema(),
        }


_METRIC = "[a-z][a-z0-9_]{0,63}"


@dataclass(frozen=True)
class OrNone(Form):
    """The form, or the word ``none``."""

    of: Form

    @property
    def words(self) -> str:
        return f"{self.of.words} or 'none'"

    def read(self, node: Located, key: str, reading: Reading) -> Any:
        if isinstance(node, Scalar):
            if resolve(node) == "none":
                return None
            raise self.fault(node, key)
        return self.of.read(node, key, reading)

    def schema(self) -> Schema:
        return {"anyOf": [{"const": "none"}, self.of.schema()]}

    @property
    def inner(self) -> Form:
        return self.of


@dataclass(frozen=True)
class Key:
    """One key of a mapping: its form, its default as it would be written, what it is for."""

    name: str
    form: Form
    doc: str
    default: str | None = None
    required: bool = False


@dataclass(frozen=True)
class Section(Form):
    """A mapping with known keys; ``make`` gets the values, those of absent keys by default.

    ``check`` gets them before, with the mapping and its key, and raises LocatedError for values
    that do not go together.
    """

    keys: tuple[Key, ...]
    make: Callable[[Mapping[str, Any]], Any]
    check: Callable[[Mapping[str, Any], Table, str], None] | None = None

    @property
    def words(self) -> str:
        return "a mapping of " + ", ".join(key.name for key in self.keys)

    def read(self, node: Located, key: str, reading: Reading) -> Any:
        if not isinstance(node, Table):
            raise self.fault(node, key)
        known = {entry.name: entry for entry in self.keys}
        values: dict[str, Any] = {}
        for name, value in node.entries:
            if name.text not in known:
                raise unknown_key(name, key, known)
            values[name.text] = known[name.text].form.read(value, join(key, name.text), reading)
        for entry in self.keys:
            if entry.name in values:
                continue
            path = join(key, entry.name)
            if entry.required:
                raise fault(node.place, path, entry.form.words, "nothing")
            default = spelled(entry.default, node.place)
            values[entry.name] = (
                None if default is None else entry.form.read(default, path, reading)
            )
        if self.check is not None:
            self.check(values, node, key)
        return self.make(values)

    def schema(self) -> Schema:
        return {
            "type": "object",
            "properties": {
                key.name: {"description": key.doc, **key.form.schema()} for key in self.keys
            },
            "required": [key.name for key in self.keys if key.required],
            "additionalProperties": False,
        }


def unknown_key(name: Scalar, key: str, known: Mapping[str, Any]) -> LocatedError:
    """The fault of a key that means nothing there."""
    hint = suggestion(name.text, known)
    if name.text == "<<":
        hint = " (merge keys are not read; write the keys out)"
    expected = "one of the keys " + ", ".join(known)
    return fault(name.place, join(key, name.text), expected, quote(name.text), hint)


def spelled(default: str | None, place: Place) -> Located | None:
    """The nodes of a default, all at the place of the mapping that lacks the key."""

    def move(node: Located) -> Located:
        match node:
            case Scalar():
                return Scalar(place, node.text, node.plain)
            case Listing():
                return Listing(place, tuple(move(item) for item in node.items))
            case Table():
                entries = ((Scalar(place, name.text), move(value)) for name, value in node.entries)
                return Table(place, tuple(entries))

    return None if default is None else move(parse(default, place.file))
