"""The open forms of a space: a choice among alternatives, and a place that takes a layer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from archsearch.errors import LocatedError, SpaceError, UnknownLayerError
from archsearch.spec.architecture import Layer
from archsearch.spec.catalog import Catalog, LayerType, Option
from archsearch.spec.domains import Domain, FloatRange, IntRange
from archsearch.spec.forms import Form, Reading, Schema
from archsearch.spec.openlayer import OpenLayer
from archsearch.spec.positions import (
    Listing,
    Located,
    Place,
    Scalar,
    Table,
    describe,
    fault,
    quote,
)
from archsearch.spec.ranges import OptionValue
from archsearch.spec.scalars import resolve
from archsearch.spec.sections import ListOf, unknown_key
from archsearch.spec.tree import Fixed, Node, Range, Row, join, pick
from archsearch.spec.words import known_names, suggestion

OURS = "archsearch"
NOUNS = {
    "cell": "a cell",
    "gate": "a gate",
    "channel": "a channel mixer",
    "norm": "a norm",
    "placement": "a placement of the norm",
    "embed": "an embedding",
    "head": "a head",
    "tie": "a way of tying",
    "halting": "a halting rule",
    "connections": "a way of connecting blocks",
    "sparsity": "a kind of sparsity",
    "training": "a way of training",
    "init": "a way of drawing the first weights",
    "task": "a task",
    "sampler": "a sampler",
    "stopping": "a stopping rule",
}


@dataclass(frozen=True)
class Open(Form):
    """The form itself, or ``{choice: [...]}`` among several of it."""

    of: Form

    @property
    def words(self) -> str:
        return self.of.words

    @property
    def inner(self) -> Form:
        return self.of

    def read(self, node: Located, key: str, reading: Reading) -> Node:
        if not isinstance(node, Table) or "choice" not in node or "name" in node:
            part: Node = self.of.read(node, key, reading)
            return part
        for name, _ in node.entries:
            if name.text != "choice":
                raise unknown_key(name, key, {"choice": None})
        path = join(key, "choice")
        listing = node.get("choice")
        if not isinstance(listing, Listing) or not listing.items:
            got = describe(listing or node)
            raise fault((listing or node).place, path, "a list of alternatives", got)
        branches: list[Node] = []
        seen: dict[str, int] = {}
        for position, item in enumerate(listing.items):
            branch = self.read(item, join(path, str(position)), reading)
            plain = json.dumps(branch.to_plain(), sort_keys=True)
            if plain in seen:
                got = f"{branch.label} again (first on line {seen[plain]})"
                raise fault(item.place, f"{path}.{position}", "each alternative once", got)
            seen[plain] = item.place.line
            branches.append(branch)
        return pick(branches)

    def schema(self) -> Schema:
        return {"anyOf": [self.of.schema(), choice_of(self.of.schema())]}


def choice_of(schema: Schema) -> Schema:
    """JSON Schema of a choice; of a choice within it only the outside is described."""
    nested = {"type": "object", "required": ["choice"]}
    return {
        "type": "object",
        "properties": {
            "choice": {"type": "array", "minItems": 1, "items": {"anyOf": [schema, nested]}}
        },
        "required": ["choice"],
        "additionalProperties": False,
    }


@dataclass(frozen=True)
class OpenList(ListOf):
    """A list of open parts."""

    def read(self, node: Located, key: str, reading: Reading) -> Any:
        return Row(super().read(node, key, reading))


@dataclass(frozen=True)
class LayerSlot(Form):
    """A layer of one kind: its name, or a mapping of its name and options.

    Where there is a ``default`` name, a mapping may leave the name out. With ``open_`` the
    options may be open too, and ``options: search`` opens all that the layer declares searchable.
    """

    kind: str
    default: str | None = None
    open_: bool = True

    @property
    def words(self) -> str:
        return NOUNS[self.kind]

    def schema(self) -> Schema:
        return {"$ref": f"#/$defs/{self.kind}"}

    def read(self, node: Located, key: str, reading: Reading) -> OpenLayer:
        declared = self.declared(node, key, reading)
        given = {name.text: (name, value) for name, value in _options(node)}
        searched = self._searched(given.pop("options", None), key, declared)
        for name, (place, _) in given.items():
            if name not in declared.options:
                raise _unknown_option(place, key, declared)
        parts: dict[str, Node] = {}
        for name, (_, value) in given.items():
            parts[name] = self.part(declared.options[name], value, join(key, name), reading)
        if searched:
            parts = {name: _searchable(o) for name, o in declared.options.items()} | parts
        layer = OpenLayer(declared, tuple(parts.items()))
        self._note_divisor(node, key, given, dict(layer.options), reading)
        return layer

    def part(self, option: Option, node: Located, key: str, reading: Reading) -> Node:
        value = OptionValue(option, self.open_)
        return (Open(value) if self.open_ else value).read(node, key, reading)

    def declared(self, node: Located, key: str, reading: Reading) -> LayerType:
        """The declaration that the node names; the only step that may load a plugin's."""
        written = node.get("name") if isinstance(node, Table) else node
        names = reading.catalog.names(self.kind)
        if written is None:
            if isinstance(node, Table) and "choice" in node:
                raise fault(node.place, key, f"{self._one_of(names)}, not open", "a choice")
            if self.default is None:
                path = join(key, "name")
                raise fault(node.place, path, f"the name of {NOUNS[self.kind]}", "nothing")
            return reading.catalog.find(self.kind, self.default)
        name = resolve(written) if isinstance(written, Scalar) else None
        if not isinstance(name, str):
            path = join(key, "name") if isinstance(node, Table) else key
            raise fault(written.place, path, self._one_of(names), describe(written))
        refusal = reading.catalog.refusal(self.kind, name)
        try:
            if refusal is not None:
                raise SpaceError(refusal)
            declared = reading.catalog.find(self.kind, name)
        except SpaceError as error:
            if refusal is None and str(error).startswith("expected "):
                raise self._unknown(name, written.place, key, reading.catalog) from None
            usable = f"a usable {self.kind}"
            raise fault(written.place, key, usable, f"a fault: {error}") from None
        if declared.distribution != OURS:
            reading.visitors.append((declared, written.place, key))
        return declared

    def _unknown(self, name: str, place: Place, key: str, catalog: Catalog) -> LocatedError:
        """The fault of a name that this kind does not know; another kind may."""
        spellings = catalog.spellings(self.kind)
        hint, got = suggestion(name, spellings), quote(name)
        others = [noun for kind, noun in NOUNS.items() if name in catalog.names(kind)]
        source = name.rpartition(".")[0]
        if others:
            hint, got = "", f"{got}, {others[0]}"
        elif re.fullmatch("[a-z0-9-]+", source) and not any(
            each.startswith(f"{source}.") for each in spellings
        ):
            hint, got = "", f"{got}, but no {self.kind} of {quote(source)} is installed"
        found = fault(place, key, self._one_of(catalog.names(self.kind)), got, hint)
        return UnknownLayerError(found, self.kind, name)

    def _one_of(self, names: tuple[str, ...]) -> str:
        return f"{NOUNS[self.kind]} ({known_names(self.kind, names)})"

    def _searched(
        self, given: tuple[Scalar, Located] | None, key: str, declared: LayerType
    ) -> bool:
        if given is None:
            return False
        name, value = given
        if not self.open_:
            raise _unknown_option(name, key, declared)
        if not isinstance(value, Scalar) or resolve(value) != "search":
            raise fault(value.place, join(key, "options"), "'search'", describe(value))
        return True

    def _note_divisor(
        self,
        node: Located,
        key: str,
        given: Mapping[str, tuple[Scalar, Located]],
        parts: Mapping[str, Node],
        reading: Reading,
    ) -> None:
        """Heads share the width evenly, except where a head has a size of its own."""
        heads = parts.get("heads")
        if self.kind != "cell" or not isinstance(heads, Fixed) or "head_size" in parts:
            return
        if isinstance(heads.value, int):
            place = given["heads"][1].place if "heads" in given else node.place
            reading.divisors.append((heads.value, place, join(key, "heads")))


def closed(layer: OpenLayer) -> Layer:
    """The completed layer of a slot without open options."""

    def refuse(path: str, domain: Domain) -> int:
        raise SpaceError(f"{path} is open: {domain}")

    return layer.walk("", refuse)


def _options(node: Located) -> tuple[tuple[Scalar, Located], ...]:
    entries = node.entries if isinstance(node, Table) else ()
    return tuple((name, value) for name, value in entries if name.text != "name")


def _searchable(option: Option) -> Node:
    """What ``options: search`` makes of an option that is not given."""
    if option.language is not None:
        return option.language.open()
    match option.search:
        case None:
            return Fixed(option.normal(option.default))
        case IntRange() | FloatRange():
            return Range(option.search)
        case values:
            return pick(Fixed(option.normal(value)) for value in values)


def _unknown_option(name: Scalar, key: str, declared: LayerType) -> LocatedError:
    known = ", ".join(declared.options) or "none"
    expected = f"an option of {declared.name} ({known})"
    hint = suggestion(name.text, declared.options)
    return fault(name.place, join(key, name.text), expected, quote(name.text), hint)
