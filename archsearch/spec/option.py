"""A declared option of a layer: its legal values, its default, and what a search explores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from archsearch.errors import SpaceError
from archsearch.spec.architecture import Value
from archsearch.spec.domains import FloatRange, IntRange
from archsearch.spec.language import Language
from archsearch.spec.words import spell, suggestion, unquoted


@dataclass(frozen=True)
class Option:
    """One declared option: its legal values, its default, and what a search explores.

    ``search`` is a tuple of values (a choice among them) or a range; None keeps the default.
    ``when`` names the other options of the same layer that must have one of the given values
    for this one to mean anything; an inactive option is not part of the architecture.
    An ``added`` option came after architectures had been stored: at its default it is not written,
    so that their digests stay. Texts in a ``language`` are kept in their normal form. A value in
    ``aliases`` is another name for values of this and other options of the layer.
    """

    default: Value
    type: type
    choices: tuple[Value, ...] | None = None
    low: float | None = None
    high: float | None = None
    search: tuple[Value, ...] | IntRange | FloatRange | None = None
    when: tuple[tuple[str, tuple[Value, ...]], ...] = ()
    doc: str = ""
    added: bool = False
    language: Language | None = None
    aliases: tuple[tuple[Value, tuple[tuple[str, Value], ...]], ...] = ()

    def alias(self, name: Value, **settings: Value) -> Option:
        """The same, with one more legal value that stands for these settings of the layer."""
        assert self.choices is not None
        return replace(
            self,
            choices=(*self.choices, name),
            aliases=(*self.aliases, (name, tuple(settings.items()))),
        )

    def added_later(self) -> Option:
        return replace(self, added=True)

    def written(self, value: Value) -> bool:
        """Whether an architecture that has this value says so."""
        return not (self.added and same(self.default, value))

    def only_when(self, **conditions: Value | tuple[Value, ...]) -> Option:
        pairs = tuple(
            (name, values if isinstance(values, tuple) else (values,))
            for name, values in conditions.items()
        )
        return replace(self, when=self.when + pairs)

    @property
    def expected(self) -> str:
        """The legal values in words, for messages and the reference page."""
        if self.language is not None:
            return self.language.expected
        if self.choices is not None:
            return "one of " + ", ".join(spell(choice) for choice in self.choices)
        kind = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
        words = kind[self.type]
        if self.low is not None and self.high is not None:
            return f"{words} from {spell(self.low)} to {spell(self.high)}"
        if self.low is not None:
            return f"{words} of at least {spell(self.low)}"
        if self.high is not None:
            return f"{words} of at most {spell(self.high)}"
        return words

    @property
    def searched(self) -> str:
        """What a search explores of it, in words."""
        if self.language is not None:
            return self.language.searched
        if self.search is None:
            return "no"
        if isinstance(self.search, tuple):
            return ", ".join(map(unquoted, self.search))
        scale = ", log" if self.search.log else ""
        return f"{self.search.low:g} to {self.search.high:g}{scale}"

    @property
    def meaning(self) -> str:
        """What it does, and beside which other options it does anything."""
        conditions = [
            f"{name} is {' or '.join(map(unquoted, values))}" for name, values in self.when
        ]
        aliases = [
            f"; {name} is {' with '.join(f'{key} {value}' for key, value in settings)}"
            for name, settings in self.aliases
        ]
        return (
            self.doc
            + "".join(aliases)
            + (f" (only when {' and '.join(conditions)})" if conditions else "")
        )

    def normal(self, value: Any) -> Value:
        """The declared object equal to ``value``; raises SpaceError with what was expected."""
        if self.choices is not None:
            for choice in self.choices:
                if same(choice, value):
                    return choice
            raise SpaceError(
                f"expected {self.expected}, got {spell(value)}"
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
            raise SpaceError(f"expected {self.expected}, got {spell(value)}")
        if self.language is not None:
            return self.language.normal(value)
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


def text(default: str | None, language: Language | None = None, *, doc: str = "") -> Option:
    """Any text, which is never searched, or one in a language."""
    if language is not None and default is not None:
        default = language.normal(default)
    return Option(default, str, doc=doc, language=language)


def same(declared: Any, given: Any) -> bool:
    """Equal as values of an option: 1 and 1.0 are, 1 and true are not."""
    alike = type(declared) is type(given) or {type(declared), type(given)} == {int, float}
    return alike and bool(declared == given)
