"""``archsearch cells`` and ``archsearch tasks``: what is in the box, and every option of it."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table

from archsearch.cli.cellpage import by_family, ran_on
from archsearch.cli.options import console, json_option, print_json
from archsearch.errors import SpaceError
from archsearch.plugins import load_catalog
from archsearch.spec.catalog import KINDS, Catalog, CellType, LayerType
from archsearch.spec.positions import escape
from archsearch.spec.words import unquoted

LISTED = tuple(kind for kind in KINDS if kind != "task")

CELLS_EXAMPLE = """\b
Example:
  archsearch cells            # all cells, built-in and from plugins
  archsearch cells deltanet   # one cell with its options
  archsearch cells --kind gate
"""
TASKS_EXAMPLE = """\b
Example:
  archsearch tasks
  archsearch tasks classification
"""


@click.command(epilog=CELLS_EXAMPLE)
@click.argument("name", required=False)
@click.option(
    "--kind", default="cell", type=click.Choice(LISTED), show_default=True, help="What to list."
)
@json_option
def cells(name: str | None, kind: str, as_json: bool) -> None:
    """List cells (or gates, channel mixers, ...), or show one with every option it declares."""
    catalog = load_catalog()
    if name and name not in catalog.spellings(kind):
        for other in LISTED:
            if name in catalog.spellings(other):
                raise SpaceError(
                    f"'{name}' is no {kind}; see 'archsearch cells --kind {other} {name}'"
                )
    _listing(catalog, kind, name, as_json)


@click.command(epilog=TASKS_EXAMPLE)
@click.argument("name", required=False)
@json_option
def tasks(name: str | None, as_json: bool) -> None:
    """List tasks, or show one with every option it declares."""
    _listing(load_catalog(), "task", name, as_json)


def _listing(catalog: Catalog, kind: str, name: str | None, as_json: bool) -> None:
    chosen = [catalog.find(kind, name)] if name else _usable(catalog, kind)
    if as_json:
        print_json([_plain(entry) for entry in chosen])
    elif name:
        _show_one(chosen[0])
    else:
        described = [entry for entry in chosen if isinstance(entry, CellType)]
        console().print(_cells(described) if described else _table(chosen))


def _usable(catalog: Catalog, kind: str) -> list[LayerType]:
    """All of a kind; a plugin that cannot be read costs a note and not the list."""
    found = []
    for name in catalog.names(kind):
        try:
            found.append(catalog.find(kind, name))
        except SpaceError as error:
            click.echo(f"note: {escape(str(error))}", err=True)
    return found


def _table(entries: list[LayerType]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("name", style="bold", no_wrap=True)
    table.add_column("what")
    table.add_column("options")
    table.add_column("from", no_wrap=True)
    for entry in entries:
        table.add_row(entry.name, entry.doc, ", ".join(entry.options), entry.distribution)
    return table


def _cells(entries: list[CellType]) -> Table:
    """By family; the options of each are too many for a list."""
    table = Table(box=None, pad_edge=False)
    table.add_column("name", style="bold", no_wrap=True)
    table.add_column("cost", no_wrap=True)
    table.add_column("step")
    table.add_column("what")
    for family, members in by_family(entries).items():
        table.add_row(f"[dim]{family}[/dim]")
        for entry in members:
            table.add_row(f"  {entry.name}", entry.cost, _yes(entry.has_step), entry.doc)
    return table


def _yes(given: bool) -> str:
    return "yes" if given else "no"


def _show_one(entry: LayerType) -> None:
    out = console()
    out.print(f"[bold]{entry.name}[/bold] ({entry.kind}, from {entry.distribution})")
    out.print(entry.doc)
    if entry.source:
        out.print(f"Source: {entry.source}", markup=False)
    if isinstance(entry, CellType):
        out.print(f"Cost: {entry.cost}. {ran_on(entry)}", markup=False)
    if not entry.options:
        return
    table = Table(box=None, pad_edge=False)
    for column in ("option", "default", "legal", "searched", "what"):
        table.add_column(column)
    for key, option in entry.options.items():
        default = "" if option.default is None else unquoted(option.default)
        table.add_row(key, default, option.expected, option.searched, option.meaning)
    out.print(table)


def _plain(entry: LayerType) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "name": entry.name,
        "kind": entry.kind,
        "doc": entry.doc,
        "source": entry.source,
        "distribution": entry.distribution,
        "options": {
            key: {
                "default": option.default,
                "legal": option.expected,
                "searched": option.searched,
                "doc": option.meaning,
            }
            for key, option in entry.options.items()
        },
    }
    if isinstance(entry, CellType):
        plain |= {"causal": entry.causal, "step": entry.has_step, "cost": entry.cost}
        plain["devices"] = list(entry.devices)
    return plain
