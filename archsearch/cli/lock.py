"""The lock of a space file: which plugins it may run, and the hash of the code of each.

``space.plugins.lock`` lies beside ``space.yaml``. Where there is one, every command that reads the
space file holds the installed plugins to it before anything of theirs is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from archsearch.errors import LocatedError, SpaceError
from archsearch.execute.files import written_whole
from archsearch.installed import Installed, installed
from archsearch.plugins import Named, load_catalog
from archsearch.spec.catalog import Catalog
from archsearch.spec.document import parse_file
from archsearch.spec.positions import Located, Place, Scalar, Table, describe, fault, quote
from archsearch.spec.spacefile import SpaceFile, read_space

ENDING = ".plugins.lock"
AGAIN = "; if meant, run 'archsearch plugin lock'"
_FORMAT = "archsearch-lock"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,98}[a-z0-9])?")
_PARTS = {"version": re.compile(r"[A-Za-z0-9.!+_-]{1,64}"), "sha256": re.compile("[0-9a-f]{64}")}


@dataclass(frozen=True)
class Entry:
    """One plugin as it was locked, and where the lock says so."""

    locked: Installed
    place: Place
    places: dict[str, Place]


@dataclass(frozen=True)
class Lock:
    """What a lock file says."""

    path: Path
    entries: tuple[Entry, ...]

    def check(self) -> None:
        """Raise LocatedError for the first plugin that is not installed as it was locked."""
        for entry in self.entries:
            was, key = entry.locked, f"plugins.{entry.locked.distribution}"
            try:
                now = installed(was.distribution)
            except SpaceError as error:
                wanted = f"{was.distribution} {was.version}"
                raise fault(entry.place, key, wanted, f"a fault: {error}") from None
            if now.version != was.version:
                got = f"{now.version} installed"
                raise fault(entry.places["version"], f"{key}.version", was.version, got, AGAIN)
            if now.sha256 != was.sha256:
                got = f"{now.sha256[:12]}..., other code of the same version {now.version}"
                expected = f"{was.sha256[:12]}..."
                raise fault(entry.places["sha256"], f"{key}.sha256", expected, got, AGAIN)

    def permit(self, distribution: str) -> None:
        """Raise SpaceError for a plugin that is not locked."""
        if distribution not in {entry.locked.distribution for entry in self.entries}:
            raise SpaceError(f"is not in {self.path.name}{AGAIN}")

    def check_used(self, file: SpaceFile) -> None:
        """Raise LocatedError for a plugin that is locked, yet not used."""
        used = {declared.distribution for declared, _, _ in file.visitors}
        for entry in self.entries:
            name = entry.locked.distribution
            if name not in used:
                expected = f"plugins that {file.path.name} uses"
                raise fault(entry.place, f"plugins.{name}", expected, "one that it does not", AGAIN)


def open_space(
    path: str | Path,
    overrides: Sequence[tuple[str, str]] = (),
    named: Named = lambda kind, name, distribution: False,
) -> tuple[SpaceFile, Catalog]:
    """The space file, and the catalog it was read with; held to its lock where it has one.

    ``named`` is for :func:`load_catalog`.
    """
    lock = read_lock(lock_path(path))
    if lock is None:
        catalog = load_catalog(named=named)
        return read_space(path, catalog, overrides), catalog
    lock.check()
    catalog = load_catalog(lock.permit, named)
    file = read_space(path, catalog, overrides)
    lock.check_used(file)
    return file, catalog


def lock_path(space: str | Path) -> Path:
    path = Path(space)
    # a folder, which is refused when it is read, may have no name to put an ending to
    return path.parent / f"{path.stem}{ENDING}"


def read_lock(path: Path) -> Lock | None:
    """The lock in a file, None where there is no file; raises LocatedError for its first fault."""
    if not path.exists() and not path.is_symlink():
        return None
    _, root = parse_file(path)
    _only(root, "", (_FORMAT, "plugins"))
    made = root.get(_FORMAT)
    if not isinstance(made, Scalar) or made.text != "1":
        raise fault((made or root).place, _FORMAT, "the number 1", _got(made))
    plugins = root.get("plugins")
    if not isinstance(plugins, Table):
        raise fault((plugins or root).place, "plugins", "a mapping of plugins", _got(plugins))
    return Lock(path, tuple(_entry(name, part) for name, part in plugins.entries))


def write_lock(path: Path, space: Path, plugins: Iterable[Installed]) -> None:
    """Write the lock of a space file, its plugins in the order of their names."""
    entries = [
        f'  {each.distribution}:\n    version: "{each.version}"\n    sha256: "{each.sha256}"\n'
        for each in sorted(plugins, key=lambda plugin: plugin.distribution)
    ]
    lines = [
        "# The plugins that the space file beside this one may run, written by:\n",
        f"# archsearch plugin lock {space.name}\n",
        f"{_FORMAT}: 1\n",
        "plugins:\n" if entries else "plugins: {}\n",
        *entries,
    ]
    with written_whole(path) as stream:
        stream.write("".join(lines).encode())


def _entry(name: Scalar, part: Located) -> Entry:
    if not _NAME.fullmatch(name.text):
        raise fault(name.place, "plugins", "the name of a distribution", quote(name.text))
    key = f"plugins.{name.text}"
    if not isinstance(part, Table):
        raise fault(part.place, key, "a mapping of version, sha256", describe(part))
    _only(part, key, tuple(_PARTS))
    values: dict[str, Scalar] = {}
    for word, pattern in _PARTS.items():
        found = part.get(word)
        if not isinstance(found, Scalar) or not pattern.fullmatch(found.text):
            expected = "a version" if word == "version" else "64 hexadecimal digits"
            raise fault((found or part).place, f"{key}.{word}", expected, _got(found))
        values[word] = found
    locked = Installed(name.text, values["version"].text, values["sha256"].text)
    return Entry(locked, name.place, {word: value.place for word, value in values.items()})


def _only(table: Table, key: str, known: tuple[str, ...]) -> None:
    for name, _ in table.entries:
        if name.text not in known:
            raise fault(name.place, key, " and ".join(known), quote(name.text))


def _got(node: Located | None) -> str:
    return "nothing" if node is None else describe(node)


def changes(before: Lock | None, after: Iterable[Installed]) -> dict[str, str]:
    """What became of each plugin since the lock before, in words, by distribution."""
    old = {entry.locked.distribution: entry.locked for entry in before.entries} if before else {}
    new = {plugin.distribution: plugin for plugin in after}
    words = {}
    for name in sorted({*old, *new}):
        if name not in old:
            words[name] = "new"
        elif name not in new:
            words[name] = "not used any more"
        elif old[name].version != new[name].version:
            words[name] = f"was {old[name].version}"
        else:
            same = old[name].sha256 == new[name].sha256
            words[name] = "as before" if same else "other code of the same version"
    return words


def former_lock(path: Path) -> Lock | None:
    """The lock that is to be written anew; None also for one that cannot be read."""
    try:
        return read_lock(path)
    except LocatedError:
        return None
