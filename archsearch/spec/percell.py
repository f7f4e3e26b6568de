"""A mapping of cells to a form each, for what differs between trials by what they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from archsearch.spec.forms import Form, Reading, Schema
from archsearch.spec.positions import Located, Table, fault, quote
from archsearch.spec.tree import join
from archsearch.spec.words import suggestion


@dataclass(frozen=True)
class PerCell(Form):
    """Names of cells, each with its own value, in the order of the document."""

    of: Form

    @property
    def words(self) -> str:
        return f"a mapping of cells, each to {self.of.words}"

    def read(self, node: Located, key: str, reading: Reading) -> tuple[tuple[str, Any], ...]:
        if not isinstance(node, Table):
            raise self.fault(node, key)
        known = reading.catalog.names("cell")
        values = []
        for name, value in node.entries:
            if name.text not in known:
                hint = suggestion(name.text, known)
                raise fault(name.place, key, "the name of a cell", quote(name.text), hint)
            values.append((name.text, self.of.read(value, join(key, name.text), reading)))
        return tuple(values)

    def schema(self) -> Schema:
        return {"type": "object", "additionalProperties": self.of.schema()}

    @property
    def inner(self) -> Form:
        return self.of
