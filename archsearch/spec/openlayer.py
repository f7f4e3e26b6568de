"""The two parts of a space with conditions inside: a layer's options and a stage's looping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from archsearch.errors import SpaceError
from archsearch.spec.architecture import CHAIN, Block, Layer, Stage, Value
from archsearch.spec.catalog import LayerType
from archsearch.spec.mix import Mix
from archsearch.spec.tree import (
    Choose,
    Decision,
    Fixed,
    Node,
    join,
    product,
    spell,
    total,
    written,
)


@dataclass(frozen=True)
class OpenLayer(Node):
    """A layer with a part for each declared option, in the declared order.

    An option that is not given has its default; one whose ``when`` does not hold is not decided
    and not in the layer. Raises SpaceError for an option that is not declared.
    """

    declared: LayerType
    options: tuple[tuple[str, Node], ...] = ()

    def __post_init__(self) -> None:
        given = dict(self.options)
        for key in given:
            if key not in self.declared.options:
                raise SpaceError(
                    f"{self.declared.kind} '{self.declared.name}' has no option '{key}'"
                )
        parts = tuple(
            (key, given.get(key) or Fixed(option.normal(option.default)))
            for key, option in self.declared.options.items()
        )
        object.__setattr__(self, "options", parts)

    def walk(self, path: str, choose: Choose) -> Layer:
        chosen: dict[str, Value] = {}
        for key, node in self.options:
            if self.declared.active(key, chosen):
                chosen[key] = node.walk(join(path, key), choose)
        return self.declared.layer(chosen)

    def decisions(self, path: str, condition: str) -> Iterator[Decision]:
        for key, node in self.options:
            needs = [condition] if condition else []
            for name, values in self.declared.options[key].when:
                needs.append(f"{join(path, name)} is {' or '.join(map(spell, values))}")
            yield from node.decisions(join(path, key), " and ".join(needs))

    def size(self) -> int | float:
        return self._size(0, {})

    def _size(self, position: int, chosen: Mapping[str, Value]) -> int | float:
        """Combinations of the options from ``position`` on, beside the values already chosen.

        Only options that a condition reads branch the count, and of their values only those that
        a condition names; all others stand together, so that long ranges cost nothing.
        """
        if position == len(self.options):
            return 1
        key, node = self.options[position]
        if not self.declared.active(key, chosen):
            return self._size(position + 1, chosen)
        named = self._named(key)
        if not named:
            return product((node.size(), self._size(position + 1, {**chosen, key: _OTHER})))
        counts = [node.count(value) for value in named]
        terms = [
            product((count, self._size(position + 1, {**chosen, key: value})))
            for count, value in zip(counts, named, strict=True)
            if count
        ]
        rest = node.size() - sum(counts)
        if rest:
            terms.append(product((rest, self._size(position + 1, {**chosen, key: _OTHER}))))
        return total(terms)

    def _named(self, key: str) -> tuple[Value, ...]:
        """The values of option ``key`` that the condition of another option names."""
        controller = self.declared.options[key]
        named = [
            controller.normal(value)
            for option in self.declared.options.values()
            for name, values in option.when
            if name == key
            for value in values
        ]
        return tuple(dict.fromkeys(named))

    def matches(self, value: Any) -> bool:
        if not isinstance(value, Layer) or value.name != self.declared.name:
            return False
        given = dict(value.options)
        chosen: dict[str, Value] = {}
        for key, node in self.options:
            if not self.declared.active(key, chosen):
                continue
            option = self.declared.options[key]
            if key not in given and option.added:
                given[key] = option.default
            for name, settings in option.aliases:
                if node.matches(name) and dict(settings).items() <= given.items():
                    chosen[key] = name
                    given = {k: v for k, v in given.items() if k not in dict(settings)}
            if key in chosen:
                continue
            if key not in given or not node.matches(given[key]):
                return False
            chosen[key] = given.pop(key)
        return not given

    def to_plain(self) -> Any:
        options = {
            key: node.to_plain()
            for key, node in self.options
            if not isinstance(node, Fixed) or self.declared.options[key].written(node.value)
        }
        return {"layer": self.declared.name, "options": options}

    @property
    def label(self) -> str:
        return self.declared.name

    @property
    def segment(self) -> str:
        return self.declared.name


_OTHER = "\0"
_CHAIN = Fixed(CHAIN)


@dataclass(frozen=True)
class OpenStage(Node):
    """A stage; tying and halting are decided only where the stage loops.

    With a ``mix`` some of its copies are of other blocks.
    """

    repeat: Node
    loops: Node
    tie: Node
    halting: Node
    blocks: Node
    connections: Node = _CHAIN
    mix: Mix | None = None

    def walk(self, path: str, choose: Choose) -> Stage:
        repeat = self.repeat.walk(join(path, "repeat"), choose)
        loops = self.loops.walk(join(path, "loops"), choose)
        looping: dict[str, Layer] = {}
        if loops > 1:
            looping["tie"] = self.tie.walk(join(path, "tie"), choose)
            looping["halting"] = self.halting.walk(join(path, "halting"), choose)
        connections = self.connections.walk(join(path, "connections"), choose)
        if self.mix is None:
            blocks = self.blocks.walk(join(path, "blocks"), choose)
        else:
            blocks, repeat = self.mix.arranged(repeat, self.blocks, path, choose)
        return Stage(blocks, repeat, loops, connections=connections, **looping)

    def decisions(self, path: str, condition: str) -> Iterator[Decision]:
        looping = " and ".join(filter(None, [condition, f"{join(path, 'loops')} is above 1"]))
        yield from self.repeat.decisions(join(path, "repeat"), condition)
        yield from self.loops.decisions(join(path, "loops"), condition)
        yield from self.tie.decisions(join(path, "tie"), looping)
        yield from self.halting.decisions(join(path, "halting"), looping)
        yield from self.connections.decisions(join(path, "connections"), condition)
        if self.mix is None:
            yield from self.blocks.decisions(join(path, "blocks"), condition)
        else:
            yield from self.mix.around(self.blocks, path, condition)

    def size(self) -> int | float:
        once = self.loops.count(1)
        looping = product((self.loops.size() - once, self.tie.size(), self.halting.size()))
        around = product((total((once, looping)), self.connections.size()))
        if self.mix is None:
            return product((self.repeat.size(), around, self.blocks.size()))
        return product((around, self.mix.combinations(self.repeat, self.blocks)))

    def matches(self, value: Any) -> bool:
        return (
            isinstance(value, Stage)
            and self.around(value)
            and self.copies(value.blocks * value.repeat)
        )

    def copies(self, blocks: tuple[Block, ...]) -> bool:
        """Whether ``blocks`` is some legal number of copies of some legal list of blocks."""
        if self.mix is not None:
            return self.mix.holds(self.repeat, self.blocks, blocks)
        for count in range(1, len(blocks) + 1):
            length, rest = divmod(len(blocks), count)
            if rest or not self.repeat.matches(count):
                continue
            if blocks == blocks[:length] * count and self.blocks.matches(blocks[:length]):
                return True
        return False

    def around(self, value: Stage) -> bool:
        """Whether the stage may loop and connect as ``value`` does, blocks aside."""
        if not (self.loops.matches(value.loops) and self.connections.matches(value.connections)):
            return False
        if value.loops == 1:
            return True
        return self.tie.matches(value.tie) and self.halting.matches(value.halting)

    def to_plain(self) -> Any:
        parts = ("repeat", "loops", "tie", "halting", "connections", "blocks")
        plain = written({part: getattr(self, part).to_plain() for part in parts})
        return plain if self.mix is None else {**plain, "mix": self.mix.to_plain()}

    @property
    def label(self) -> str:
        return self.blocks.label
