"""``--set key=value``: another value at a dotted key of a space file that was read."""

from __future__ import annotations

from collections.abc import Sequence

from archsearch.spec.document import MOST_BYTES, parse
from archsearch.spec.positions import Listing, Located, Place, Scalar, Table, describe, fault


def override(root: Table, overrides: Sequence[tuple[str, str]]) -> Table:
    """The document with every (key, YAML text) put in place, in order; raises LocatedError."""
    for key, text in overrides:
        file = f"--set {key}"
        place = Place(file, 1, 1)
        if len(text) > MOST_BYTES:
            raise fault(place, key, f"at most {MOST_BYTES // 1024} KiB", "a longer value")
        value = parse(text, file) if text.strip() else Scalar(place, "")
        changed = _put(root, key.split("."), value, place, key)
        assert isinstance(changed, Table)
        root = changed
    return root


def _put(node: Located, path: list[str], value: Located, place: Place, key: str) -> Located:
    if not path:
        return value
    name, rest = path[0], path[1:]
    match node:
        case Table():
            inner = node.get(name) or Table(place, ())
            changed = _put(inner, rest, value, place, key)
            return _with(node, name, changed, place)
        case Listing():
            if not name.isdecimal() or int(name) >= len(node.items):
                expected = f"an index from 0 to {len(node.items) - 1}"
                raise fault(place, key, expected, f"'{name}'")
            items = list(node.items)
            items[int(name)] = _put(items[int(name)], rest, value, place, key)
            return Listing(node.place, tuple(items))
        case Scalar():
            raise fault(place, key, f"a mapping to set '{name}' in", describe(node))


def _with(table: Table, name: str, value: Located, place: Place) -> Table:
    entries = [(at, value if at.text == name else old) for at, old in table.entries]
    if name not in table:
        entries.append((Scalar(place, name), value))
    return Table(table.place, tuple(entries))
