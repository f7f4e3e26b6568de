"""The parts a space is made of: each is a value still open in some places, as frozen data."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from archsearch.spec.architecture import LATER, Value, to_plain
from archsearch.spec.domains import Choice, Domain, FloatRange, IntRange

Choose: TypeAlias = Callable[[str, Domain], int | float]
Decision: TypeAlias = tuple[str, Domain, str]


class Node(ABC):
    """A value with open decisions below it; a decision is named by its path."""

    @abstractmethod
    def walk(self, path: str, choose: Choose) -> Any:
        """The value that ``choose`` makes of this part; it is asked for active decisions only."""

    @abstractmethod
    def decisions(self, path: str, condition: str) -> Iterator[Decision]:
        """Every decision with its domain and, in words, when it is active."""

    @abstractmethod
    def size(self) -> int | float:
        """The number of combinations of active decisions; infinite with an open real range."""

    @abstractmethod
    def matches(self, value: Any) -> bool:
        """Whether some combination of decisions gives this completed value."""

    @abstractmethod
    def to_plain(self) -> Any:
        """The part as JSON data; equal parts give equal data."""

    @property
    @abstractmethod
    def label(self) -> str:
        """What a person calls this part."""

    @property
    def segment(self) -> str | None:
        """What names this part in a path as the branch of a choice; None: its position does."""
        return None

    def count(self, value: Value) -> int | float:
        """The number of combinations that give ``value``."""
        return 1 if self.matches(value) else 0


@dataclass(frozen=True)
class Fixed(Node):
    """A value that is not open."""

    value: Value

    def walk(self, path: str, choose: Choose) -> Value:
        return self.value

    def decisions(self, path: str, condition: str) -> Iterator[Decision]:
        return iter(())

    def size(self) -> int:
        return 1

    def matches(self, value: Any) -> bool:
        return type(value) is type(self.value) and bool(value == self.value)

    def to_plain(self) -> Any:
        return to_plain(self.value)

    @property
    def label(self) -> str:
        return spell(self.value)


@dataclass(frozen=True)
class Range(Node):
    """A number between two bounds."""

    domain: IntRange | FloatRange

    def walk(self, path: str, choose: Choose) -> int | float:
        return choose(path, self.domain)

    def decisions(self, path: str, condition: str) -> Iterator[Decision]:
        yield path, self.domain, condition

    def size(self) -> int | float:
        return self.domain.size

    def matches(self, value: Any) -> bool:
        return self.domain.contains(value)

    def to_plain(self) -> Any:
        kind = "int" if isinstance(self.domain, IntRange) else "float"
        bounds = [self.domain.low, self.domain.high]
        return {kind: bounds, "step": self.domain.step, "log": self.domain.log}

    @property
    def label(self) -> str:
        return f"{spell(self.domain.low)}..{spell(self.domain.high)}"


@dataclass(frozen=True)
class Pick(Node):
    """A choice among parts; the paths below a branch carry the branch's segment."""

    branches: tuple[Node, ...]
    domain: Choice
    segments: tuple[str, ...]

    def walk(self, path: str, choose: Choose) -> Any:
        index = int(choose(path, self.domain))
        return self.branches[index].walk(f"{path}.{self.segments[index]}", choose)

    def decisions(self, path: str, condition: str) -> Iterator[Decision]:
        yield path, self.domain, condition
        for branch, name, label in zip(
            self.branches, self.segments, self.domain.labels, strict=True
        ):
            yield from branch.decisions(f"{path}.{name}", f"{path} is {label}")

    def size(self) -> int | float:
        return total(branch.size() for branch in self.branches)

    def matches(self, value: Any) -> bool:
        return any(branch.matches(value) for branch in self.branches)

    def count(self, value: Value) -> int | float:
        return total(branch.count(value) for branch in self.branches)

    def to_plain(self) -> Any:
        return {"choice": [branch.to_plain() for branch in self.branches]}

    @property
    def label(self) -> str:
        return "|".join(self.domain.labels)


def pick(branches: Iterable[Node]) -> Pick:
    """A choice among the given parts, with labels and segments that are unique and stable."""
    parts = tuple(branches)
    labels = [part.label for part in parts]
    if len(set(labels)) < len(labels):
        labels = [_detail(part) for part in parts]
    names = [part.segment or f"#{position}" for position, part in enumerate(parts, start=1)]
    return Pick(parts, Choice(_unique(labels)), _unique(names))


@dataclass(frozen=True)
class Row(Node):
    """A list of parts."""

    items: tuple[Node, ...]

    def walk(self, path: str, choose: Choose) -> tuple[Any, ...]:
        return tuple(
            item.walk(f"{path}.{position}", choose) for position, item in enumerate(self.items)
        )

    def decisions(self, path: str, condition: str) -> Iterator[Decision]:
        for position, item in enumerate(self.items):
            yield from item.decisions(f"{path}.{position}", condition)

    def size(self) -> int | float:
        return product(item.size() for item in self.items)

    def matches(self, value: Any) -> bool:
        return (
            isinstance(value, tuple)
            and len(value) == len(self.items)
            and all(item.matches(part) for item, part in zip(self.items, value, strict=True))
        )

    def to_plain(self) -> Any:
        return [item.to_plain() for item in self.items]

    @property
    def label(self) -> str:
        return _short("[" + ", ".join(item.label for item in self.items) + "]")


@dataclass(frozen=True)
class Record(Node):
    """A dataclass with a part for each field, such as a block."""

    make: Callable[..., Any]
    fields: tuple[tuple[str, Node], ...]

    def walk(self, path: str, choose: Choose) -> Any:
        values = {name: node.walk(join(path, name), choose) for name, node in self.fields}
        return self.make(**values)

    def decisions(self, path: str, condition: str) -> Iterator[Decision]:
        for name, node in self.fields:
            yield from node.decisions(join(path, name), condition)

    def size(self) -> int | float:
        return product(node.size() for _, node in self.fields)

    def matches(self, value: Any) -> bool:
        return all(node.matches(getattr(value, name)) for name, node in self.fields)

    def to_plain(self) -> Any:
        return written({name: node.to_plain() for name, node in self.fields})

    @property
    def label(self) -> str:
        return self.fields[0][1].label


def join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def written(plain: dict[str, Any]) -> dict[str, Any]:
    """The parts without the slots that came later and are fixed at their default."""

    def default(slot: str) -> tuple[Any, ...]:
        layer = LATER[slot]
        return to_plain(layer), {"layer": layer.name, "options": {}}

    return {
        key: part for key, part in plain.items() if key not in LATER or part not in default(key)
    }


def product(sizes: Iterable[int | float]) -> int | float:
    """Exact for whole numbers of any length; infinite when a factor is and none is zero."""
    factors = list(sizes)
    if 0 in factors:
        return 0
    return math.inf if math.inf in factors else math.prod(factors)


def total(sizes: Iterable[int | float]) -> int | float:
    """Exact for whole numbers of any length."""
    terms = list(sizes)
    return math.inf if math.inf in terms else sum(terms)


def spell(value: object) -> str:
    """A value as a label: bare texts, true and false, the shortest form of a number."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ", ".join(spell(item) for item in value) + "]"
    return _short(f"{value:g}" if isinstance(value, float) else str(value))


def _detail(part: Node) -> str:
    """A longer label, for branches that share the short one."""
    plain = part.to_plain()
    options = plain.get("options", {}) if isinstance(plain, dict) else {}
    fixed = [f"{key}={spell(value)}" for key, value in options.items() if _scalar(value)]
    return f"{part.label}({', '.join(fixed)})" if fixed else part.label


def _scalar(value: object) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def _unique(names: list[str]) -> tuple[str, ...]:
    """Names with ``#2``, ``#3`` behind the second and third use of the same one."""
    seen: dict[str, int] = {}
    result: list[str] = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return tuple(result)
