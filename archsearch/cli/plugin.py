"""``archsearch plugin``: whether a plugin's cell keeps its promises, and which code may run."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import click
from rich.table import Table

from archsearch.cli.lock import changes, former_lock, lock_path, write_lock
from archsearch.cli.options import (
    Finite,
    console,
    json_option,
    parse_assignments,
    print_json,
    set_option,
    space_argument,
)
from archsearch.errors import InputError
from archsearch.installed import installed
from archsearch.plugins import load_catalog
from archsearch.spec.spacefile import read_space
from archsearch.testing.plugins import Promise, examine

EXAMPLE = """\b
Examples:
  archsearch plugin check leaky
  archsearch plugin lock space.yaml
"""


@click.group(epilog=EXAMPLE)
def plugin() -> None:
    """Examine the cells of plugins, and lock what a space file runs of them."""


@plugin.command(epilog=EXAMPLE)
@click.argument("name")
@click.option("--seconds", type=Finite(1.0, 86400.0), default=600.0, show_default=True,
              help="Bound on the whole examination.")  # fmt: skip
@json_option
def check(name: str, seconds: float, as_json: bool) -> None:
    """Show which promises of a cell NAME keeps, in a process of its own; exit 2 if one is broken.

    The promises are those of the contract test that a plugin's author runs: what it computes step
    by step and at once is the same, it never looks ahead, rows of a batch do not see each other,
    every parameter matters, and the like.
    """
    if find_spec("pytest") is None:
        raise InputError("the contract of cells is written in pytest; try 'pip install pytest'")
    declared = load_catalog().find("cell", name)
    promises = examine(declared, whole=True, seconds=seconds)
    broken = [promise for promise in promises if promise.broken is not None]
    if as_json:
        print_json([vars(promise) for promise in promises])
    else:
        out = console()
        out.print(f"{declared.name} from {declared.distribution}", markup=False)
        out.print(_table(promises))
        count = f"{len(broken)} of {len(promises)} promises are broken"
        click.echo(count if broken else f"all {len(promises)} promises are kept")
    if broken:
        sys.exit(InputError.exit_code)


@plugin.command(epilog=EXAMPLE)
@space_argument
@set_option
@json_option
def lock(space: str, assignments: tuple[str, ...], as_json: bool) -> None:
    """Write down the plugins that SPACE.YAML uses: name, version and the SHA-256 of their code.

    They go into SPACE.plugins.lock beside it. As long as that file is there, no command that reads
    the space file imports a plugin that differs from it: exit 2, and one line says what changed.
    """
    file = read_space(space, load_catalog(), parse_assignments(assignments))
    names = {declared.distribution for declared, _, _ in file.visitors}
    plugins = [installed(name) for name in sorted(names)]
    path = lock_path(space)
    words = changes(former_lock(path), plugins)
    write_lock(path, Path(space), plugins)
    if as_json:
        print_json({"file": str(path), "plugins": {p.distribution: p.to_plain() for p in plugins}})
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    locked = {plugin.distribution: plugin for plugin in plugins}
    for name, what in words.items():
        here = locked.get(name)
        table.add_row(name, here.version if here else "", here.sha256[:12] if here else "", what)
    if words:
        console().print(table)
    click.echo(f"{path}: {len(plugins)} plugin{'s'[: len(plugins) != 1]} locked")


def _table(promises: list[Promise]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in ("promise", "", "cases", "what is broken"):
        table.add_column(column)
    for promise in promises:
        verdict = "kept" if promise.cases else "not claimed"
        if promise.broken is not None:
            verdict = "broken"
        table.add_row(promise.name, verdict, str(promise.cases or ""), promise.broken or "")
    return table
