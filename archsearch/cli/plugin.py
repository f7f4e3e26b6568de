"""``archsearch plugin``: whether a cell, usually another distribution's, keeps its promises."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import click
from rich.table import Table

from archsearch.cli.options import console, json_option, print_json
from archsearch.errors import InputError
from archsearch.plugins import load_catalog
from archsearch.testing.plugins import Promise, examine

EXAMPLE = """\b
Example:
  archsearch plugin check leaky
"""


@click.group(epilog=EXAMPLE)
def plugin() -> None:
    """Examine the cells of plugins."""


@plugin.command(epilog=EXAMPLE)
@click.argument("name")
@click.option("--seconds", type=click.FloatRange(1.0, 86400.0), default=600.0, show_default=True,
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
