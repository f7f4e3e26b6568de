"""Which layers are installed: our declared pages, and visitors found by package metadata alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from archsearch.blocks.declared import BLOCKS
from archsearch.cells.declared import CELLS
from archsearch.depth.declared import DEPTH
from archsearch.errors import SpaceError
from archsearch.installed import OURS, Installed, installed, normalised
from archsearch.search.declared import SEARCH
from archsearch.sparsity.declared import SPARSITY
from archsearch.spec.catalog import Catalog, CellType, LayerType
from archsearch.tasks.declared import TASKS
from archsearch.train.declared import TRAINING
from archsearch.visitor import Origin, declaration_of, reason

GROUPS: Mapping[str, str] = {"archsearch.cells": "cell"}
UNKNOWN = "an unnamed"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
Permit = Callable[[str], None]
Named = Callable[[str, str, str], bool]


def built_in() -> tuple[LayerType, ...]:
    """Everything that archsearch itself declares."""
    return (*CELLS, *BLOCKS, *DEPTH, *SPARSITY, *TRAINING, *TASKS, *SEARCH)


def load_catalog(
    permit: Permit = lambda distribution: None,
    named: Named = lambda kind, name, distribution: False,
) -> Catalog:
    """The built-in layers and every installed visitor's name; imports no visitor.

    ``permit`` is asked before anything of a distribution is imported, and raises SpaceError in
    words that go on after the layer's name. ``named`` says of a kind, a name and a distribution
    whether something stored calls the distribution's layer so: it keeps that name, whatever else
    is installed by now.
    """
    found = [(kind, entry) for group, kind in GROUPS.items() for entry in _entries(group)]
    return join(built_in(), found, permit, named)


def as_recorded(providers: Iterable[Sequence[str]]) -> Named:
    """The names that a study or a bundle recorded: each a kind, a name and its distribution."""
    known = {tuple(each) for each in providers}
    return lambda kind, name, distribution: (kind, name, distribution) in known


def join(
    own: Sequence[LayerType],
    found: Iterable[tuple[str, EntryPoint]],
    permit: Permit = lambda distribution: None,
    named: Named = lambda kind, name, distribution: False,
) -> Catalog:
    """A catalog of our own layers and of visitors' (kind, entry point).

    ``distribution.name`` always names one layer. The bare name does where only one distribution
    provides it; where several do, a space file that writes it is refused, unless it was the name
    of one of them, and no other's, before.
    """
    owners: dict[tuple[str, str], list[str]] = {(e.kind, e.name): [OURS] for e in own}
    aliases = {(entry.kind, f"{OURS}.{entry.name}"): entry.name for entry in own}
    visitors: dict[tuple[str, str], Callable[[], LayerType]] = {}
    refusals: dict[tuple[str, str], str] = {}
    visiting = sorted(found, key=lambda pair: (pair[0], pair[1].name, _distribution(pair[1])))
    for kind, entry in visiting:
        owners.setdefault((kind, entry.name), []).append(_distribution(entry))
    for kind, entry in visiting:
        source = _distribution(entry)
        if not _NAME.fullmatch(entry.name):
            refusals[kind, entry.name] = (
                f"{kind} {entry.name!r} from {source} is not a name; "
                "a name is a letter followed by letters, digits, '_' and '-'"
            )
            continue
        qualified, among = f"{source}.{entry.name}", owners[kind, entry.name]
        heirs = among if len(among) == 1 else [o for o in among if named(kind, entry.name, o)]
        own_name = heirs == [source] and OURS not in among
        if own_name and not named(kind, qualified, source):
            visitors[kind, entry.name] = _loader(kind, entry, entry.name, permit)
            aliases[kind, qualified] = entry.name
            continue
        visitors[kind, qualified] = _loader(kind, entry, qualified, permit)
        if own_name:
            aliases[kind, entry.name] = qualified
        elif len(heirs) != 1 or OURS in among:
            refusals[kind, entry.name] = _clash(kind, entry.name, among)
    return Catalog(own, visitors, aliases=aliases, refusals=refusals)


def distributions(declared: Iterable[LayerType]) -> dict[str, Installed]:
    """Every distribution, ours aside, that provides one of the layers, by its name.

    Of a catalog those are the layers that something has named so far. Raises SpaceError.
    """
    sources = sorted({entry.distribution for entry in declared} - {OURS})
    return {source: installed(source) for source in sources}


def implementation(declared: LayerType) -> Any:
    """The class behind a declaration; only workers call it, because it imports torch."""
    what = f"{declared.kind} '{declared.name}' from {declared.distribution}"
    try:
        found = declared.implementation()
    except (Exception, SystemExit) as error:
        raise SpaceError(f"{what} cannot be imported: {reason(error)}") from error
    if not callable(found):
        raise SpaceError(f"{what}: {declared.target} is a {type(found).__name__}, not a class")
    return found


def _entries(group: str) -> Iterable[EntryPoint]:
    return entry_points(group=group)


def _distribution(entry: EntryPoint) -> str:
    # what an interrupted uninstall leaves behind has lost its name
    if entry.dist is None or "Name" not in entry.dist.metadata:
        return UNKNOWN
    return normalised(entry.dist.name)


def _clash(kind: str, name: str, owners: Sequence[str]) -> str:
    remedy = " or ".join(f"'{owner}.{name}'" for owner in owners)
    return f"{kind} '{name}' is provided by {' and by '.join(owners)}; write {remedy}"


def _loader(kind: str, entry: EntryPoint, name: str, permit: Permit) -> Callable[[], LayerType]:
    source = _distribution(entry)
    what = f"{kind} '{entry.name}' from {source}"

    def load() -> LayerType:
        if source == UNKNOWN:
            raise SpaceError(f"{what} distribution, whose metadata are gone; install it again")
        number = entry.dist.version if entry.dist is not None else ""
        place = str(entry.dist.locate_file("")) if entry.dist is not None else ""
        try:
            permit(source)
            declared = declaration_of(Origin(entry.value, source, number, place))
        except SpaceError as error:
            raise SpaceError(f"{what} {error}") from error
        expected = CellType if kind == "cell" else LayerType
        if not isinstance(declared, expected):
            given = type(declared).__name__
            raise SpaceError(f"{what}: {entry.value} is a {given}, not a {expected.__name__}")
        if (declared.kind, declared.name) != (kind, entry.name):
            raise SpaceError(f"{what} is declared as {declared.kind} '{declared.name}'")
        return replace(declared, name=name, distribution=source)

    return load
