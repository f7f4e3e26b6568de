"""``archsearch leaderboard``: the searched trials of a study, best first."""

from __future__ import annotations

import click

from archsearch.cli.options import console, json_option, print_json, storage_option
from archsearch.cli.results import read_leading
from archsearch.cli.tables import leaderboard_table
from archsearch.select.leaderboard import rows
from archsearch.store.store import open_store

EXAMPLE = """\b
Example:
  archsearch leaderboard quickstart --limit 20
"""


@click.command(epilog=EXAMPLE)
@click.argument("study")
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True, help="Rows shown.")
@storage_option
@json_option
def leaderboard(study: str, limit: int, storage: str, as_json: bool) -> None:
    """Rank the trials of STUDY; those that cannot win stand below, with the reason."""
    with open_store(storage, read_only=True) as store:
        result = read_leading(store, study, limit)
    if not as_json:
        console().print(leaderboard_table(result, limit))
        return
    table = rows(result.searched, result.objectives, result.constraints, limit)
    print_json(
        [
            {
                "place": row.place,
                "trial": row.index,
                "architecture": row.title,
                "digest": row.digest,
                "state": str(row.state),
                "front": row.front,
                "why": row.why,
                "metrics": dict(row.metrics),
            }
            for row in table
        ]
    )
