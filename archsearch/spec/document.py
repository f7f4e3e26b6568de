"""YAML text as located nodes, within hard limits; nothing in it is executed or constructed."""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path

import yaml

from archsearch.spec.positions import Listing, Located, Place, Scalar, Table, describe, fault, quote

MOST_BYTES = 256 * 1024
MOST_NODES = 20_000
DEEPEST = 32

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_SCALAR_TAGS = {_CORE + name for name in ("str", "int", "float", "bool", "null")}
_ILLEGAL = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read_text(path: Path) -> str:
    """The file's text; every fault of the file is a LocatedError at its first line."""
    start = Place(str(path), 1, 1)
    expected = "a readable YAML file"
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise fault(start, "file", expected, "a directory")
        if not stat.S_ISREG(mode):
            raise fault(start, "file", expected, "something that is not a regular file")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise fault(start, "file", expected, "no such file") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise fault(start, "file", expected, reason.lower()) from None
    if len(data) > MOST_BYTES:
        raise fault(start, "file", f"at most {MOST_BYTES // 1024} KiB", "a longer file")
    return _decode(data, str(path))


def parse(text: str, file: str) -> Located:
    """The nodes of the only document in ``text``; raises LocatedError."""
    illegal = _ILLEGAL.search(text)
    if illegal:
        place = _place_at(text, illegal.start(), file)
        raise fault(place, "document", "text", f"the control character {illegal.group()!r}")
    try:
        return _Composer(file).compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(file, mark.line + 1, mark.column + 1) if mark else Place(file, 1, 1)
        problem = (error.problem or "something else").split("\n")[0]
        if mark and _character_at(text, mark.line, mark.column) == "\t":
            raise fault(place, "document", "spaces", "a tab") from None
        raise fault(place, "document", "YAML", f"a fault: {problem}") from None
    except (yaml.YAMLError, RecursionError, ValueError, MemoryError) as error:
        reason = f"a fault: {type(error).__name__}"
        raise fault(Place(file, 1, 1), "document", "YAML", reason) from None


def _decode(data: bytes, file: str) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise fault(Place(file, 1, 1), "file", "text in UTF-8", "text in UTF-16 or UTF-32")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", errors="replace")
        place = _place_at(before, len(before), file)
        byte = f"the byte 0x{data[error.start]:02x}"
        raise fault(place, "file", "text in UTF-8", byte) from None


def _character_at(text: str, line: int, column: int) -> str:
    """The character at a place counted from 0; nothing beyond the end of the line."""
    lines = text.splitlines()
    return lines[line][column : column + 1] if line < len(lines) else ""


def _place_at(text: str, position: int, file: str) -> Place:
    before = text[:position]
    return Place(file, before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1)


@dataclass
class _Open:
    """A container whose end has not come yet."""

    place: Place
    anchor: str | None
    is_table: bool
    children: list[Located] = field(default_factory=list)
    weight: int = 1
    height: int = 1


class _Composer:
    """Builds nodes from the events of one document."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.stack: list[_Open] = []
        self.anchors: dict[str, tuple[Located, int, int]] = {}
        self.root: Located | None = None

    def compose(self, text: str) -> Located:
        start = Place(self.file, 1, 1)
        documents = 0
        for event in yaml.parse(text, Loader=_LOADER):
            mark = event.start_mark
            place = Place(self.file, mark.line + 1, mark.column + 1) if mark else start
            match event:
                case yaml.DocumentStartEvent():
                    documents += 1
                    if documents > 1:
                        raise fault(place, "document", "one document", "a second one")
                case yaml.AliasEvent():
                    self._alias(event.anchor, place)
                case yaml.ScalarEvent():
                    node = self._scalar(event, place)
                    self._add(node, place, event.anchor, 1, 1)
                case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                    self._begin(event, place)
                case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                    self._end()
        if self.root is None:
            raise fault(start, "document", "a mapping", "an empty file")
        return self.root

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> Scalar:
        tag: str | None = event.tag
        if tag is not None and tag not in _SCALAR_TAGS:
            raise fault(place, "document", "no tags", f"the tag {quote(tag)}")
        plain = not event.style if tag is None else tag != _CORE + "str"
        return Scalar(place, event.value, plain)

    def _begin(self, event: yaml.SequenceStartEvent | yaml.MappingStartEvent, place: Place) -> None:
        is_table = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, _CORE + ("map" if is_table else "seq")):
            raise fault(place, "document", "no tags", f"the tag {quote(event.tag)}")
        if len(self.stack) >= DEEPEST:
            raise fault(place, "document", f"at most {DEEPEST} levels", "a deeper nesting")
        self.stack.append(_Open(place, event.anchor, is_table))

    def _end(self) -> None:
        done = self.stack.pop()
        node = self._table(done) if done.is_table else Listing(done.place, tuple(done.children))
        self._add(node, done.place, done.anchor, done.weight, done.height)

    def _table(self, done: _Open) -> Table:
        entries: list[tuple[Scalar, Located]] = []
        lines: dict[str, int] = {}
        for key, value in zip(done.children[::2], done.children[1::2], strict=True):
            if not isinstance(key, Scalar):
                raise fault(key.place, "document", "a text as key", "a list or a mapping")
            if key.text in lines:
                got = f"{quote(key.text)} again (first on line {lines[key.text]})"
                raise fault(key.place, "document", "each key once", got)
            lines[key.text] = key.place.line
            entries.append((key, value))
        return Table(done.place, tuple(entries))

    def _alias(self, anchor: str | None, place: Place) -> None:
        if any(part.anchor == anchor for part in self.stack):
            raise fault(place, "document", "a finite value", f"'*{anchor}' inside itself")
        if anchor is None or anchor not in self.anchors:
            raise fault(place, "document", "a known anchor", f"'*{anchor}'")
        node, weight, height = self.anchors[anchor]
        if isinstance(node, Scalar):
            node = replace(node, place=place)
        self._add(node, place, None, weight, height)

    def _add(
        self, node: Located, place: Place, anchor: str | None, weight: int, height: int
    ) -> None:
        if anchor is not None:
            self.anchors[anchor] = (node, weight, height)
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        parent.children.append(node)
        parent.weight += weight
        parent.height = max(parent.height, height + 1)
        if parent.weight > MOST_NODES:
            raise fault(place, "document", f"at most {MOST_NODES} values", "more")
        if len(self.stack) + height > DEEPEST + 1:
            raise fault(place, "document", f"at most {DEEPEST} levels", "a deeper nesting")


def parse_file(path: Path) -> tuple[str, Table]:
    """The text and the root mapping of a space file; raises LocatedError."""
    text = read_text(path)
    root = parse(text, str(path))
    if not isinstance(root, Table):
        raise fault(root.place, "document", "a mapping", describe(root))
    return text, root
