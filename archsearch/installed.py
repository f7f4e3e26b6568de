"""Which code an installed distribution is: its version, and one hash over the files it runs from.

The hash is of what Python would import now, the same for a wheel and for an editable install of
the same sources. ``RECORD`` would not do: it says what was once installed, names paths of one
machine, and of an editable install it leaves out the sources.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from archsearch.errors import SpaceError

OURS = "archsearch"
# modules that installers write to make an editable install findable; they name paths
_INSTALLERS = ("__editable__", "_editable_impl_")


@dataclass(frozen=True)
class Installed:
    """One distribution as it lies here; ``sha256`` is of its code, whatever its version says."""

    distribution: str
    version: str
    sha256: str

    def to_plain(self) -> dict[str, str]:
        return {"version": self.version, "sha256": self.sha256}


def normalised(name: str) -> str:
    """A distribution's name as package indexes spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(name: str) -> Installed:
    """The distribution as it is found now; imports nothing of it. Raises SpaceError if it is not.

    ``sha256`` is over the sorted lines ``path NUL sha256-of-content`` of all files in the packages
    and modules that its metadata names, but hidden ones and ``__pycache__``; and over its entry
    points for archsearch. What it imports of other distributions is not covered.
    """
    try:
        found = distribution(name)
    except PackageNotFoundError:
        raise SpaceError(f"{name} is not installed; try 'pip install {name}'") from None
    lines = [
        f"{entry.group}\0{entry.name}\0{entry.value}"
        for entry in found.entry_points
        if entry.group.startswith(f"{OURS}.")
    ]
    for root in _roots(found, name):
        for path in _files(root):
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            lines.append(f"{path.relative_to(root.parent).as_posix()}\0{content}")
    digest = hashlib.sha256("\n".join(sorted(lines)).encode("utf-8", "surrogateescape"))
    return Installed(normalised(name), found.version, digest.hexdigest())


def _roots(found: Distribution, name: str) -> list[Path]:
    """The folders of packages and the files of modules that are the distribution's own."""
    roots: dict[str, Path] = {}
    for module in sorted(_modules(found)):
        parts = module.split(".")
        if any(".".join(parts[:depth]) in roots for depth in range(1, len(parts) + 1)):
            continue
        own, root = _located(parts)
        if root is None:
            continue
        if not root.exists():
            raise SpaceError(f"{name} is not installed as files; install it unpacked")
        roots[own] = root
    return list(roots.values())


def _modules(found: Distribution) -> set[str]:
    """Dotted names of packages and modules that the metadata speaks of."""
    # an editable install records none of its modules, yet names them in one of the others
    names = set((found.read_text("top_level.txt") or "").split())
    names |= {entry.module for entry in found.entry_points if entry.group.startswith(f"{OURS}.")}
    for row in csv.reader((found.read_text("RECORD") or "").splitlines()):
        *folders, file = row[0].split("/")
        if file.startswith(_INSTALLERS):
            continue
        if not folders and file.endswith((".py", ".so", ".pyd")):
            folders = [file.partition(".")[0]]
        if folders and all(part.isidentifier() and part != "__pycache__" for part in folders):
            names.add(".".join(folders))
    return names


def _located(parts: list[str]) -> tuple[str, Path | None]:
    """Where the first part of a dotted name lies that is no namespace shared with others."""
    search, name = None, ""
    for part in parts:
        name = f"{name}.{part}" if name else part
        specs = (finder.find_spec(name, search) for finder in sys.meta_path)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is None:
            break
        if spec.origin is not None:
            origin, package = Path(spec.origin), spec.submodule_search_locations is not None
            return name, origin.parent if package else origin
        search = spec.submodule_search_locations
    return name, None


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    seen = set()
    for folder, inner, names in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        inner[:] = [part for part in inner if part != "__pycache__" and not part.startswith(".")]
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        for name in names:
            path = Path(folder, name)
            if not name.startswith(".") and path.is_file():
                yield path
