"""The two parts of a space with conditions inside: a layer's options and a stage's looping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from archsearch.errors import SpaceError
from archsearch.spec.architecture import Layer, Stage, Value
from archsearch.spec.catalog import LayerType
from archsearch.spec.tree import Choose, Decision, Fixed, Node, join, product, spell, total


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
            if key not in given or not node.matches(given[key]):
                return False
            chosen[key] = given.pop(key)
        return not given

    def to_plain(self) -> Any:
        options = {key: node.to_plain() for key, node in self.options}
        return {"layer": self.declared.name, "options": options}

    @property
    def label(self) -> str:
        return self.declared.name

    @property
    def segment(self) -> str:
        return self.declared.name


_OTHER = "\0"


@dataclass(frozen=True)
class OpenStage(Node):
    """A stage; tying and halting are decided only where the stage loops."""

    repeat: Node
    loops: Node
    tie: Node
    halting: Node
    blocks: Node

    def walk(self, path: str, choose: Choose) -> Stage:
        repeat = self.repeat.walk(join(path, "repeat"), choose)
        loops = self.loops.walk(join(path, "loops"), choose)
        looping: dict[str, Layer] = {}
        if loops > 1:
            looping["tie"] = self.tie.walk(join(path, "tie"), choose)
            looping["halting"] = self.halting.walk(join(path, "halting"), choose)
        blocks = self.blocks.walk(join(path, "blocks"), choose)
        return Stage(blocks=blocks, repeat=repeat, loops=loops, **looping)

    def decisions(self, path: str, condition: str) -> Iterator[Decision]:
        looping = " and ".join(filter(None, [condition, f"{join(path, 'loops')} is above 1"]))
        yield from self.repeat.decisions(join(path, "repeat"), condition)
        yield from self.loops.decisions(join(path, "loops"), condition)
        yield from self.tie.decisions(join(path, "tie"), looping)
        yield from self.halting.decisions(join(path, "halting"), looping)
        yield from self.blocks.decisions(join(path, "blocks"), condition)

    def size(self) -> int | float:
        once = self.loops.count(1)
        looping = product((self.loops.size() - once, self.tie.size(), self.halting.size()))
        return product((self.repeat.size(), total((once, looping)), self.blocks.size()))

    def matches(self, value: Any) -> bool:
        return (
            isinstance(value, Stage)
            and self.repeat.matches(value.repeat)
            and self.blocks.matches(value.blocks)
            and self.loops_match(value)
        )

    def loops_match(self, value: Stage) -> bool:
        """Whether the stage may loop as ``value`` does, blocks aside."""
        if not self.loops.matches(value.loops):
            return False
        if value.loops == 1:
            return True
        return self.tie.matches(value.tie) and self.halting.matches(value.halting)

    def to_plain(self) -> Any:
        return {
            "repeat": self.repeat.to_plain(),
            "loops": self.loops.to_plain(),
            "tie": self.tie.to_plain(),
            "halting": self.halting.to_plain(),
            "blocks": self.blocks.to_plain(),
        }

    @property
    def label(self) -> str:
        return self.blocks.label
