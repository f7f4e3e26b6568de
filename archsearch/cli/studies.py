"""``archsearch studies``: what is stored."""

from __future__ import annotations

import click
from rich.table import Table

from archsearch.cli.options import console, json_option, print_json, storage_option
from archsearch.cli.results import read_result
from archsearch.select.ranking import measured
from archsearch.store.store import open_store

EXAMPLE = """\b
Example:
  archsearch studies --storage sqlite:///archsearch.db
"""


@click.command(epilog=EXAMPLE)
@storage_option
@json_option
def studies(storage: str, as_json: bool) -> None:
    """List the stored studies: trials, attempts that were lost, best value, how they ended."""
    with open_store(storage, read_only=True) as store:
        place = store.place
        results = [read_result(store, study.name) for study in store.studies()]
    if as_json:
        print_json([result.to_plain() for result in results])
        return
    if not results:
        click.echo(f"no studies in {place}; begin one with: archsearch run SPACE.YAML")
        return
    table = Table(box=None, pad_edge=False)
    for column in ("study", "task", "trials", "lost", "best", "confirmed", "ended"):
        table.add_column(column)
    for result in results:
        metric = result.objectives[0].metric
        ranked = result.ranked
        value = measured(ranked[0], metric) if ranked else None
        table.add_row(
            result.name,
            result.settings["label"],
            str(len(result.searched)),
            str(sum(result.lost.values()) or ""),
            f"{metric} {value:.4g}" if value is not None else "",
            "yes" if result.confirmed else "no",
            result.ended or "unfinished",
        )
    console().print(table)
