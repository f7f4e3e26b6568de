"""What may stand in a space: declarations of layers and tasks as plain data, found by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from archsearch.errors import SpaceError
from archsearch.spec.architecture import Architecture, Block, Layer, Stage, Value, later
from archsearch.spec.importing import imported
from archsearch.spec.option import Option as Option
from archsearch.spec.option import choice as choice
from archsearch.spec.option import flag as flag
from archsearch.spec.option import integer as integer
from archsearch.spec.option import real as real
from archsearch.spec.option import same
from archsearch.spec.option import text as text
from archsearch.spec.words import known_names, spell
from archsearch.spec.words import suggestion as suggestion

KINDS = (
    "cell",
    "gate",
    "channel",
    "norm",
    "placement",
    "embed",
    "head",
    "tie",
    "halting",
    "connections",
    "sparsity",
    "training",
    "init",
    "task",
    "sampler",
    "stopping",
)


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
        return imported(self.target) if isinstance(self.target, str) else self.target

    def active(self, key: str, chosen: Mapping[str, Value]) -> bool:
        """Whether option ``key`` means anything beside the values already chosen."""
        return all(
            name in chosen and any(same(chosen[name], value) for value in values)
            for name, values in self.options[key].when
        )

    def complete(self, layer: Layer) -> Layer:
        """The layer as it is stored: defaults filled in, inactive options dropped.

        Raises SpaceError for what is not declared.
        """
        return self.layer(self.settings(layer))

    def layer(self, chosen: Mapping[str, Value]) -> Layer:
        """The layer with these settings, without what is not written at its default."""
        chosen = self.spelled_out(chosen)
        return Layer(
            self.name, tuple((k, v) for k, v in chosen.items() if self.options[k].written(v))
        )

    def spelled_out(self, chosen: Mapping[str, Value]) -> dict[str, Value]:
        """The settings with what an alias stands for in its place."""
        found = dict(chosen)
        for key, option in self.options.items():
            for name, settings in option.aliases:
                if key in chosen and same(name, chosen[key]):
                    found |= dict(settings)
        return found

    def settings(self, layer: Layer) -> dict[str, Value]:
        """The value of every active option of the layer, given or default; raises SpaceError."""
        given = dict(layer.options)
        for key in given:
            if key not in self.options:
                raise SpaceError(
                    f"{self.kind} '{self.name}' has no option '{key}'"
                    + suggestion(key, self.options)
                )
        given = self.spelled_out(given)
        chosen: dict[str, Value] = {}
        for key, option in self.options.items():
            try:
                value = option.normal(given.get(key, option.default))
            except SpaceError as error:
                raise SpaceError(f"{self.kind} '{self.name}': {key}: {error}") from None
            if self.active(key, chosen):
                chosen[key] = value
        return chosen


@dataclass(frozen=True)
class CellType(LayerType):
    """A declared sequence mixer.

    ``cost`` says how the forward pass grows with the time T: ``T``, ``T log T`` or ``T^2``.
    ``devices`` are those that its tests have been run on. Without ``half_precision`` nobody owes
    that it computes under autocast, or converted to bfloat16.
    """

    causal: bool = True
    has_step: bool = True
    cost: str = "T"
    devices: tuple[str, ...] = ("cpu",)
    half_precision: bool = True


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
            names, got = self.names(kind), spell(name) + suggestion(name, self.names(kind))
            raise SpaceError(f"expected a {kind}: {known_names(kind, names)}; got {got}")
        return self._known[key]

    def declarations(self, kind: str) -> tuple[LayerType, ...]:
        return tuple(self.find(kind, name) for name in self.names(kind))

    def complete(self, kind: str, layer: Layer) -> Layer:
        return self.find(kind, layer.name).complete(layer)

    def complete_architecture(self, architecture: Architecture) -> Architecture:
        """Every layer completed, so that equal networks are equal values."""

        def added(part: Architecture | Stage | Block) -> dict[str, Layer]:
            return {slot: self.complete(slot, layer) for slot, layer in later(part)}

        def block(part: Block) -> Block:
            return Block(
                cell=self.complete("cell", part.cell),
                gate=self.complete("gate", part.gate),
                channel=self.complete("channel", part.channel),
                norm=self.complete("norm", part.norm),
                **added(part),
            )

        def stage(part: Stage) -> Stage:
            return Stage(
                blocks=tuple(block(inner) for inner in part.blocks),
                repeat=part.repeat,
                loops=part.loops,
                tie=self.complete("tie", part.tie),
                halting=self.complete("halting", part.halting),
                **added(part),
            )

        return Architecture(
            width=architecture.width,
            stages=tuple(stage(part) for part in architecture.stages),
            embed=self.complete("embed", architecture.embed),
            norm=self.complete("norm", architecture.norm),
            head=self.complete("head", architecture.head),
            sparsity=self.complete("sparsity", architecture.sparsity),
            training=self.complete("training", architecture.training),
            **added(architecture),
        )
