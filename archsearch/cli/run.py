"""``archsearch run``: search a space, confirm the finalists, export the winner."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import click

from archsearch.cli.drawing import draw
from archsearch.cli.facts import data_lines
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
from archsearch.cli.plans import plans_of
from archsearch.cli.progress import Watcher
from archsearch.cli.results import Result, read_result, run_folder
from archsearch.cli.tables import across_table, print_result
from archsearch.errors import TryAgainError
from archsearch.execute.open import open_backend
from archsearch.search.open import open_sampler
from archsearch.search.unseen import Unseen
from archsearch.store.store import Store, open_store
from archsearch.study.plan import Plan, is_same
from archsearch.study.study import run_study

EXAMPLE = """\b
Examples:
  archsearch run search_spaces/quickstart.yaml
  archsearch run space.yaml --trials 20 --time 10m --workers 2
  archsearch run space.yaml --set search.seed=1 --new --export exports/mine
"""


@click.command(epilog=EXAMPLE)
@space_argument
@set_option
@click.option("--trials", type=click.IntRange(1), help="Number of trials, instead of the file's.")
@click.option("--time", "time_budget", metavar="TIME", help="Time budget: 90s, 10m, 2h.")
@click.option("--workers", type=click.IntRange(1, 1024), help="Worker processes; default: cores.")
@click.option("--backend", type=click.Choice(["local", "inline"]), help="Where trials run.")
@storage_option
@click.option("--name", help="Name of the study; default: the file's name.")
@click.option("--new", is_flag=True, help="Begin another study if the stored one is different.")
@click.option("--export", "export_to", type=click.Path(path_type=Path), metavar="FOLDER",
              help="Export the winner as a bundle into this folder.")  # fmt: skip
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
    storage: str,
    name: str | None,
    new: bool,
    export_to: Path | None,
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
    given = {"workers": workers, "backend": backend}
    overrides += [(f"execution.{key}", str(value)) for key, value in given.items() if value]
    # in quotes, so that any name is read as a text, and held to the rule for names in files
    overrides += [("name", json.dumps(name))] if name else []
    file, catalog = open_space(space, overrides)
    plans = plans_of(file, catalog, name)
    if dry_run:
        _dry_run(plans, as_json)
        return
    signal.signal(signal.SIGTERM, _stop)
    with open_store(storage) as store:
        results = [_run_plan(plan, store, storage, new, quiet or as_json) for plan in plans]
    exported = _export(results, storage, export_to)
    if as_json:
        print_json([result.to_plain() for result in results])
        return
    out = console()
    for result in results:
        print_result(out, result)
    if len(results) > 1:
        table, words = across_table(results)
        out.print(table, words)
    for title, path in exported:
        click.echo(f"exported {title} to {path}; try: archsearch predict {path} DATA")


def _run_plan(plan: Plan, store: Store, storage: str, new: bool, quiet: bool) -> Result:
    if new:
        plan = _renamed(plan, store)
    search = plan.search
    label = plan.name
    if not quiet:
        for line in data_lines(plan.facts["data"]):
            click.echo(line, err=True)
    try:
        with (
            open_backend(plan.execution) as backend,
            Watcher(label, search.objectives, search.constraints, quiet) as watcher,
        ):
            ended = run_study(plan, store, backend, watcher, run_folder(storage, plan.name))
    except KeyboardInterrupt:
        raise TryAgainError(f"study '{plan.name}' stopped; the same command continues it") from None
    return read_result(store, plan.name, ended)


def _renamed(plan: Plan, store: Store) -> Plan:
    number, name = 2, plan.name
    while (found := store.find_study(name)) is not None:
        if is_same(found.fingerprint, plan.fingerprint()):
            break
        name, number = f"{plan.name}-{number}", number + 1
    return replace(plan, name=name)


def _export(results: list[Result], storage: str, folder: Path | None) -> list[tuple[str, Path]]:
    if folder is None:
        return []
    from archsearch.cli.export import export_result

    exported = []
    for result in results:
        if result.confirmed:
            place = folder / result.name.split("/")[-1] if len(results) > 1 else folder
            exported.append((export_result(result, place, storage, force=True), place))
    return exported


def _dry_run(plans: list[Plan], as_json: bool) -> None:
    shown: list[dict[str, Any]] = []
    for plan in plans:
        search = plan.search
        sampler = open_sampler(
            search.sampler, plan.space, search.objectives, search.constraints, search.seed
        )
        unseen = Unseen(sampler, plan.space, search.seed)
        seen: set[str] = set()
        first = []
        for index in range(min(3, search.lag, search.budget.trials or 3)):
            found = unseen.propose(index, [], seen)
            if found is not None:
                seen.add(found[1].digest)
                first.append(found[1])
        shown.append({"study": plan.name, "first": [a.digest for a in first]} | plan.settings())
        if not as_json:
            out = console()
            out.print("\n".join([plan.name, *data_lines(plan.facts["data"])]), markup=False)
            for index, architecture in enumerate(first):
                out.print(f"trial {index} · {architecture.digest}", markup=False)
                out.print(draw(architecture), markup=False)
    if as_json:
        print_json(shown)
    else:
        click.echo("nothing was run and nothing was written")


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise KeyboardInterrupt
