"""``archsearch run``: search a space, confirm the finalists, export the winner."""

from __future__ import annotations

import json
from pathlib import Path

import click

from archsearch.cli.lock import open_space
from archsearch.cli.options import (
    console,
    json_option,
    parse_assignments,
    print_json,
    set_option,
    space_argument,
    storage_option,
)
from archsearch.errors import InputError, UnknownLayerError

EXAMPLE = """\b
Examples:
  archsearch run search_spaces/quickstart.yaml
  archsearch run space.yaml --trials 20 --time 10m --workers 2
  archsearch run space.yaml --set search.seed=1 --new --export exports/mine
  archsearch run space.yaml --backend ray --storage postgresql+psycopg://ME@DB/archsearch
"""


@click.command(epilog=EXAMPLE)
@space_argument
@set_option
@click.option("--trials", type=click.IntRange(1), help="Number of trials, instead of the file's.")
@click.option("--time", "time_budget", metavar="TIME", help="Time budget: 90s, 10m, 2h.")
@click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    help="Trials at the same time; default: cores, or what the cluster has room for.",
)
@click.option(
    "--backend",
    type=click.Choice(["local", "inline", "ray", "tune"]),
    help="Where trials run: processes of this machine (local), this process (inline), actors of a"
    " Ray cluster (ray), or a Ray Tune experiment there (tune). The trials are the same.",
)
@click.option(
    "--address",
    metavar="auto|local|HOST:PORT",
    help="The Ray cluster: the one this machine is in, a new one here, or that of a head node;"
    " with --backend ray or tune, default: auto.",
)
@storage_option
@click.option("--name", help="Name of the study; default: the file's name.")
@click.option("--new", is_flag=True, help="Begin another study if the stored one is different.")
@click.option("--export", "export_to", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Export the winner as a bundle into this folder.")  # fmt: skip
@click.option(
    "--metrics",
    metavar="[ADDRESS:]PORT",
    help="Serve gauges for Prometheus here, on this machine alone by default.",
)
@click.option("--dry-run", is_flag=True, help="Check everything, show the first trials, stop.")
@click.option("--quiet", is_flag=True, help="No progress, only the result.")
@json_option
def run(
    space: str,
    assignments: tuple[str, ...],
    trials: int | None,
    time_budget: str | None,
    workers: int | None,
    backend: str | None,
    address: str | None,
    storage: str,
    name: str | None,
    new: bool,
    export_to: Path | None,
    metrics: str | None,
    dry_run: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Search the architectures of SPACE.YAML.

    Trials land in the database as they finish. Running the same file again continues where it
    stopped, whatever stopped it, and repeats nothing. Finalists and tuned baselines are then
    retrained over several seeds and judged once on the test split.
    """
    overrides = parse_assignments(assignments)
    given = {"trials": trials, "time": time_budget}
    overrides += [(f"search.{key}", str(value)) for key, value in given.items() if value]
    given = {"workers": workers, "backend": backend, "address": address}
    overrides += [(f"execution.{key}", str(value)) for key, value in given.items() if value]
    # in quotes, so that any name is read as a text, and held to the rule for names in files
    overrides += [("name", json.dumps(name))] if name else []
    try:
        file, catalog = open_space(space, overrides)
    except UnknownLayerError as error:
        from archsearch.cli.providers import with_provider

        raise with_provider(error, storage) from None
    if file.visitors:
        from archsearch.cli.providers import as_begun

        file, catalog = open_space(space, overrides, as_begun(file.name, storage))
    if export_to is not None and file.confirm is None:
        raise InputError(
            f"{space}: --export needs a confirmed answer, and the file says 'confirm: none';"
            " give it a confirm section or leave --export out"
        )
    if export_to is not None:
        from archsearch.cli.export import check_export

        check_export(file, export_to)
    # what is wrong so far has been said before anything heavy is imported
    from archsearch.cli import runs
    from archsearch.cli.curves import print_adapted
    from archsearch.cli.plans import plans_of
    from archsearch.cli.tables import across_table, print_result
    from archsearch.execute.open import check_accelerators
    from archsearch.store.store import open_store

    plans = plans_of(file, catalog, name)
    if dry_run:
        runs.show_first(plans, as_json)
        return
    for plan in plans:
        check_accelerators(plan.execution)
    with runs.open_gauges(metrics) as sink, open_store(storage) as store:
        results = [
            runs.run_plan(plan, store, storage, new, quiet or as_json, sink) for plan in plans
        ]
    adapted = {}
    if file.depth is not None:
        adapted = runs.adapt(results, file.depth, storage, quiet or as_json)
    exported = runs.export(results, storage, export_to, adapted)
    if as_json:
        print_json([result.to_plain() for result in results])
        return
    out = console()
    for result in results:
        print_result(out, result)
        if result.name in adapted:
            print_adapted(out, adapted[result.name].manifest.depth or {}, result.name)
    if len(results) > 1:
        table, words = across_table(results)
        out.print(table, words)
    if export_to is not None and not exported:
        click.echo("nothing was exported, for nothing could be confirmed", err=True)
    for title, path in exported:
        click.echo(f"exported {title} to {path}; try: archsearch predict {path} DATA")
