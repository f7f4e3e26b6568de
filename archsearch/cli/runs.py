"""What ``archsearch run`` does with its plans: run each, show the first trials, export."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from archsearch.cli.drawing import draw
from archsearch.cli.facts import data_lines
from archsearch.cli.options import console, print_json
from archsearch.cli.progress import Watcher
from archsearch.cli.results import Result, read_result, run_folder
from archsearch.errors import TryAgainError
from archsearch.execute.open import open_backend
from archsearch.search.open import open_sampler
from archsearch.search.unseen import Unseen
from archsearch.store.store import Store
from archsearch.study.plan import Plan, is_same
from archsearch.study.study import run_study


def run_plan(plan: Plan, store: Store, storage: str, new: bool, quiet: bool) -> Result:
    """Begin or continue a study, with what it is doing shown, and read what came of it."""
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


def export(results: list[Result], storage: str, folder: Path | None) -> list[tuple[str, Path]]:
    """The winners as bundles, one folder each under ``folder`` when there are several."""
    if folder is None:
        return []
    from archsearch.cli.export import export_result

    exported = []
    for result in results:
        if result.confirmed:
            place = folder / result.name.split("/")[-1] if len(results) > 1 else folder
            exported.append((export_result(result, place, storage, force=True), place))
    return exported


def show_first(plans: list[Plan], as_json: bool) -> None:
    """What a run would begin with, without running anything."""
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
