"""What may stand in a space: declarations of layers and tasks as plain data, found by name."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from archsearch.errors import SpaceError
from archsearch.spec.architecture import Architecture, Block, Layer, Stage, Value
from archsearch.spec.domains import FloatRange, IntRange
from archsearch.spec.words import spell as _spell
from archsearch.spec.words import suggestion as suggestion

KINDS = (
    "cell",
    "gate",
    "channel",
    "norm",
    "embed",
    "head",
    "tie",
    "halting",
    "sparsity",
    "training",
    "task",
    "sampler",
    "stopping",
)


@dataclass(frozen=True)
class Option:
    """One declared option: its legal values, its default, and what a search explores.

    ``search`` is a tuple of values (a choice among them) or a range; None keeps the default.
    ``when`` names the other options of the same layer that must have one of the given values
    for this one to mean anything; an inactive option is not part of the architecture.
    """

    default: Value
    type: type
    choices: tuple[Value, ...] | None = None
    low: float | None = None
    high: float | None = None
    search: tuple[Value, ...] | IntRange | FloatRange | None = None
    when: tuple[tuple[str, tuple[Value, ...]], ...] = ()
    doc: str = ""

    def only_when(self, **conditions: Value | tuple[Value, ...]) -> Option:
        pairs = tuple(
            (name, values if isinstance(values, tuple) else (values,))
            for name, values in conditions.items()
        )
        return replace(self, when=self.when + pairs)

    @property
    def expected(self) -> str:
        """The legal values in words, for messages and the reference page."""
        if self.choices is not None:
            return "one of " + ", ".join(_spell(choice) for choice in self.choices)
        kind = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
        words = kind[self.type]
        if self.low is not None and self.high is not None:
            return f"{words} from {_spell(self.low)} to {_spell(self.high)}"
        if self.low is not None:
            return f"{words} of at least {_spell(self.low)}"
        if self.high is not None:
            return f"{words} of at most {_spell(self.high)}"
        return words

    def normal(self, value: Any) -> Value:
        """The declared object equal to ``value``; raises SpaceError with what was expected."""
        if self.choices is not None:
            for choice in self.choices:
                if _same(choice, value):
                    return choice
            raise SpaceError(
                f"expected {self.expected}, got {_spell(value)}"
                + suggestion(str(value), [str(choice) for choice in self.choices])
            )
        if value is None and self.default is None:
            return None
        if self.type is float and type(value) is int:
            value = float(value)
        legal = type(value) is self.type
        if legal and self.type in (int, float):
            legal = value == value and abs(value) != float("inf")
            legal = legal and (self.low is None or value >= self.low)
            legal = legal and (self.high is None or value <= self.high)
        if not legal:
            raise SpaceError(f"expected {self.expected}, got {_spell(value)}")
        return value  # type: ignore[no-any-return]


def choice(
    *values: Value, default: Value = None, search: tuple[Value, ...] | None = None, doc: str = ""
) -> Option:
    """One of the given values; the first is the default; all are searched unless told less."""
    first = values[0] if default is None else default
    explored = values if search is None else search
    return Option(first, type(values[0]), values, search=explored or None, doc=doc)


def flag(default: bool, *, search: bool = True, doc: str = "") -> Option:
    """True or false."""
    values = (default, not default)
    return Option(default, bool, values, search=values if search else None, doc=doc)


def integer(
    default: int | None,
    low: int | None = None,
    high: int | None = None,
    *,
    search: tuple[int, ...] | IntRange | None = None,
    doc: str = "",
) -> Option:
    """A whole number between two bounds, both included."""
    return Option(default, int, None, low, high, search, doc=doc)


def real(
    default: float | None,
    low: float | None = None,
    high: float | None = None,
    *,
    search: tuple[float, ...] | FloatRange | None = None,
    doc: str = "",
) -> Option:
    """A real number between two bounds, both included."""
    return Option(default, float, None, low, high, search, doc=doc)


def text(default: str | None, *, doc: str = "") -> Option:
    """Any text; never searched."""
    return Option(default, str, doc=doc)


@dataclass(frozen=True)
class LayerType:
    """A declaration: everything the search needs to know of a layer without importing it.

    ``target`` is ``"module:attribute"`` (or, in tests, the class itself). ``options`` maps a name
    to an :class:`Option`, or to a tuple of legal values. ``metrics`` are what a task can report.
    """

    name: str
    target: str | type | Callable[..., Any]
    options: Mapping[str, Option] = field(default_factory=dict)
    kind: str = "cell"
    doc: str = ""
    source: str = ""
    distribution: str = "archsearch"
    metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.name}: no such kind: {self.kind}")
        full = {
            key: choice(*value) if isinstance(value, tuple) else value
            for key, value in self.options.items()
        }
        object.__setattr__(self, "options", full)

    def implementation(self) -> Any:
        """What ``target`` names, imported now; raises ImportError or AttributeError."""
        return pkgutil.resolve_name(self.target) if isinstance(self.target, str) else self.target

    def active(self, key: str, chosen: Mapping[str, Value]) -> bool:
        """Whether option ``key`` means anything beside the values already chosen."""
        return all(
            name in chosen and any(_same(chosen[name], value) for value in values)
            for name, values in self.options[key].when
        )

    def complete(self, layer: Layer) -> Layer:
        """The layer with defaults filled in and inactive options dropped; raises SpaceError."""
        given = dict(layer.options)
        for key in given:
            if key not in self.options:
                raise SpaceError(
                    f"{self.kind} '{self.name}' has no option '{key}'"
                    + suggestion(key, self.options)
                )
        chosen: dict[str, Value] = {}
        for key, option in self.options.items():
            try:
                value = option.normal(given.get(key, option.default))
            except SpaceError as error:
                raise SpaceError(f"{self.kind} '{self.name}': {key}: {error}") from None
            if self.active(key, chosen):
                chosen[key] = value
        return Layer(self.name, tuple(chosen.items()))


@dataclass(frozen=True)
class CellType(LayerType):
    """A declared sequence mixer.

    ``cost`` says how the forward pass grows with the time T: ``T``, ``T log T`` or ``T^2``.
    """

    causal: bool = True
    has_step: bool = True
    cost: str = "T"


class Catalog:
    """All declarations by (kind, name); a visitor's is loaded when it is first named.

    ``aliases`` maps (kind, other spelling) to a name, ``refusals`` maps (kind, name) to the reason
    why a space file may not write that name, such as two distributions that both provide it.
    """

    def __init__(
        self,
        declarations: Iterable[LayerType] = (),
        visitors: Mapping[tuple[str, str], Callable[[], LayerType]] | None = None,
        *,
        aliases: Mapping[tuple[str, str], str] | None = None,
        refusals: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        self._known = {(entry.kind, entry.name): entry for entry in declarations}
        self._visitors = dict(visitors or {})
        self._aliases = dict(aliases or {})
        self._refusals = dict(refusals or {})

    def names(self, kind: str) -> tuple[str, ...]:
        """Every name of a kind, visitors' included, without importing any of them."""
        both = (*self._known, *self._visitors)
        return tuple(dict.fromkeys(name for of_kind, name in both if of_kind == kind))

    def spellings(self, kind: str) -> tuple[str, ...]:
        """Every way to write a name of a kind: :meth:`names`, and those with a distribution."""
        aliases = (spelling for of_kind, spelling in self._aliases if of_kind == kind)
        return tuple(dict.fromkeys((*self.names(kind), *aliases)))

    def __iter__(self) -> Iterator[LayerType]:
        """The declarations that are loaded already; imports nothing."""
        return iter(tuple(self._known.values()))

    def refusal(self, kind: str, name: str) -> str | None:
        """Why a space file may not write this name; None when it may."""
        return self._refusals.get((kind, name))

    def find(self, kind: str, name: str) -> LayerType:
        """The declaration; raises SpaceError with what exists and what may have been meant."""
        key = (kind, self._aliases.get((kind, name), name))
        if key not in self._known:
            if key in self._visitors:
                self._known[key] = self._visitors[key]()
                return self._known[key]
            if key in self._refusals:
                raise SpaceError(self._refusals[key])
            names, got = self.names(kind), _spell(name) + suggestion(name, self.names(kind))
            raise SpaceError(f"expected a {kind}: {', '.join(sorted(names))}; got {got}")
        return self._known[key]

    def declarations(self, kind: str) -> tuple[LayerType, ...]:
        return tuple(self.find(kind, name) for name in self.names(kind))

    def complete(self, kind: str, layer: Layer) -> Layer:
        return self.find(kind, layer.name).complete(layer)

    def complete_architecture(self, architecture: Architecture) -> Architecture:
        """Every layer completed, so that equal networks are equal values."""

        def block(part: Block) -> Block:
            return Block(
                cell=self.complete("cell", part.cell),
                gate=self.complete("gate", part.gate),
                channel=self.complete("channel", part.channel),
                norm=self.complete("norm", part.norm),
            )

        def stage(part: Stage) -> Stage:
            return Stage(
                blocks=tuple(block(inner) for inner in part.blocks),
                repeat=part.repeat,
                loops=part.loops,
                tie=self.complete("tie", part.tie),
                halting=self.complete("halting", part.halting),
            )

        return Architecture(
            width=architecture.width,
            stages=tuple(stage(part) for part in architecture.stages),
            embed=self.complete("embed", architecture.embed),
            norm=self.complete("norm", architecture.norm),
            head=self.complete("head", architecture.head),
            sparsity=self.complete("sparsity", architecture.sparsity),
            training=self.complete("training", architecture.training),
        )


def _same(declared: Any, given: Any) -> bool:
    alike = type(declared) is type(given) or {type(declared), type(given)} == {int, float}
    return alike and bool(declared == given)
