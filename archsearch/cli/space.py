"""``archsearch validate`` and ``archsearch schema``: the space file without running it."""

from __future__ import annotations

import math

import click

from archsearch.cli.lock import open_space
from archsearch.cli.options import (
    json_option,
    parse_assignments,
    print_json,
    set_option,
    space_argument,
)
from archsearch.plugins import load_catalog
from archsearch.spec.positions import fault
from archsearch.spec.schema import json_schema
from archsearch.spec.spacefile import SpaceFile

VALIDATE_EXAMPLE = """\b
Example:
  archsearch validate search_spaces/quickstart.yaml --set search.trials=5
"""
SCHEMA_EXAMPLE = """\b
Example:
  archsearch schema > space.schema.json
"""


@click.command(epilog=VALIDATE_EXAMPLE)
@space_argument
@set_option
@click.option("--check-plugins", is_flag=True, help="Also import, build and run the cells of "
              "plugins that it names, each in a process of its own.")  # fmt: skip
@json_option
def validate(space: str, assignments: tuple[str, ...], check_plugins: bool, as_json: bool) -> None:
    """Check a space file: names, types, bounds and conditions; nothing runs, nothing is written.

    Prints one line. A fault is one line `file:line:col: error: key: expected ..., got ...` on
    stderr, and exit code 2.
    """
    file, _ = open_space(space, parse_assignments(assignments))
    if check_plugins:
        examine_plugins(file)
    size = file.space.size()
    facts = {
        "file": str(space),
        "name": file.name,
        "tasks": [task.label for task in file.tasks],
        "decisions": len(file.space.domains()),
        "architectures": size,
    }
    if as_json:
        print_json(facts)
        return
    count = "infinitely many" if math.isinf(size) else spell_count(int(size))
    click.echo(
        f"{space}: valid; {len(file.tasks)} task{'s'[: len(file.tasks) != 1]}, "
        f"{facts['decisions']} decisions, {count} points"
    )


def examine_plugins(file: SpaceFile) -> None:
    """Raise LocatedError for the first cell of a plugin that is of no use."""
    from archsearch.testing.plugins import examine

    seen: set[str] = set()
    for declared, place, key in file.visitors:
        if declared.kind != "cell" or declared.name in seen:
            continue
        seen.add(declared.name)
        for promise in examine(declared, whole=False):
            if promise.broken is not None:
                what = f"cell '{declared.name}' from {declared.distribution}"
                raise fault(place, key, "a usable cell", f"a fault: {what} {promise.broken}")


@click.command(epilog=SCHEMA_EXAMPLE)
def schema() -> None:
    """Print the JSON Schema of space files, for editors that complete and check YAML."""
    print_json(json_schema(load_catalog()))


def spell_count(count: int) -> str:
    """``12,345``, and powers of ten beyond a billion."""
    return f"{count:,}" if count < 10**9 else f"about 10^{len(str(count)) - 1}"
