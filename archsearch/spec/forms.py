"""What may stand at a key of the space file: each form reads, documents and describes itself."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archsearch.errors import LocatedError
from archsearch.spec.catalog import Catalog, LayerType
from archsearch.spec.positions import Located, Place, Scalar, describe, fault
from archsearch.spec.scalars import number_hint, resolve, whole
from archsearch.spec.words import suggestion

Schema = dict[str, Any]


@dataclass
class Reading:
    """What a form needs beside the node: the catalog and where relative paths begin.

    It collects what rules across keys need, with places and keys: ``divisors`` are the numbers
    that must divide the width, ``metrics`` the names in objectives and constraints, ``visitors``
    the layers of other distributions that are named.
    """

    catalog: Catalog
    directory: Path
    divisors: list[tuple[int, Place, str]] = field(default_factory=list)
    metrics: list[tuple[str, Place, str]] = field(default_factory=list)
    visitors: list[tuple[LayerType, Place, str]] = field(default_factory=list)


class Form(ABC):
    """One way to write a value."""

    @property
    @abstractmethod
    def words(self) -> str:
        """What is expected, for messages and the reference page."""

    @abstractmethod
    def read(self, node: Located, key: str, reading: Reading) -> Any:
        """The value of the node; raises LocatedError."""

    @abstractmethod
    def schema(self) -> Schema:
        """The same as JSON Schema."""

    @property
    def inner(self) -> Form | None:
        """The form of the parts, where the value is a list or a choice of them."""
        return None

    def fault(self, node: Located, key: str, hint: str = "") -> LocatedError:
        return fault(node.place, key, self.words, describe(node), hint)


class ScalarForm(Form):
    """A form whose every value is one scalar."""

    @abstractmethod
    def take(self, node: Scalar) -> Any:
        """The value; raises ValueError when the scalar does not fit."""

    def hint(self, node: Scalar) -> str:
        return ""

    def read(self, node: Located, key: str, reading: Reading) -> Any:
        if not isinstance(node, Scalar):
            raise self.fault(node, key)
        try:
            return self.take(node)
        except ValueError:
            raise self.fault(node, key, self.hint(node)) from None


@dataclass(frozen=True)
class Whole(ScalarForm):
    """A whole number between two bounds."""

    low: int
    high: int

    @property
    def words(self) -> str:
        if self.low == self.high:
            return f"the number {self.low}"
        return f"a whole number from {self.low} to {self.high}"

    def take(self, node: Scalar) -> int:
        value = whole(node)
        if type(value) is not int or not self.low <= value <= self.high:
            raise ValueError(value)
        return value

    def hint(self, node: Scalar) -> str:
        return number_hint(node)

    def schema(self) -> Schema:
        return {"type": "integer", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class Amount(ScalarForm):
    """A number between two bounds."""

    low: float
    high: float

    @property
    def words(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"

    def take(self, node: Scalar) -> float:
        value = resolve(node)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(value)
        if not self.low <= value <= self.high:
            raise ValueError(value)
        return float(value)

    def hint(self, node: Scalar) -> str:
        return number_hint(node)

    def schema(self) -> Schema:
        return {"type": "number", "minimum": self.low, "maximum": self.high}


@dataclass(frozen=True)
class Text(ScalarForm):
    """A text of visible characters that fits a pattern."""

    pattern: str
    what: str

    @property
    def words(self) -> str:
        return self.what

    def take(self, node: Scalar) -> str:
        value = resolve(node)
        if not isinstance(value, str) or not value.isprintable():
            raise ValueError(value)
        if not re.fullmatch(self.pattern, value):
            raise ValueError(value)
        return value

    def schema(self) -> Schema:
        return {"type": "string", "pattern": f"^(?:{self.pattern})$"}


@dataclass(frozen=True)
class OneOf(ScalarForm):
    """One of a few words."""

    names: tuple[str, ...]

    @property
    def words(self) -> str:
        return " or ".join(f"'{name}'" for name in self.names)

    def take(self, node: Scalar) -> str:
        value = resolve(node)
        if not isinstance(value, str) or value not in self.names:
            raise ValueError(value)
        return value

    def hint(self, node: Scalar) -> str:
        return suggestion(node.text, self.names)

    def schema(self) -> Schema:
        return {"enum": list(self.names)}


@dataclass(frozen=True)
class Measured(ScalarForm):
    """A text with a unit, such as ``10m``: ``parse`` raises ValueError for others."""

    parse: Callable[[str], Any]
    what: str
    pattern: str

    @property
    def words(self) -> str:
        return self.what

    def take(self, node: Scalar) -> Any:
        return self.parse(node.text)

    def schema(self) -> Schema:
        return {"type": "string", "pattern": self.pattern}
