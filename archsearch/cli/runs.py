"""What ``archsearch run`` does with its plans: run each, show the first trials, export."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archsearch.cli.drawing import draw
from archsearch.cli.facts import data_lines
from archsearch.cli.options import console, print_json
from archsearch.cli.progress import Watcher
from archsearch.cli.results import Result, read_result, run_folder
from archsearch.errors import InputError, TryAgainError
from archsearch.execute.backend import Backend
from archsearch.execute.cluster.backends import RayBackend
from archsearch.execute.open import open_backend
from archsearch.gauges.meter import Meter
from archsearch.gauges.page import Sink
from archsearch.gauges.relay import Relay
from archsearch.search.open import open_sampler
from archsearch.search.unseen import Unseen
from archsearch.spec.depthsettings import DepthSettings
from archsearch.store.store import Store
from archsearch.study.course import Progress
from archsearch.study.plan import Plan, is_same
from archsearch.study.study import run_study

if TYPE_CHECKING:
    from archsearch.serve.bundle import Bundle


def run_plan(
    plan: Plan, store: Store, storage: str, new: bool, quiet: bool, sink: Sink | None = None
) -> Result:
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
            _watching(plan, watcher, backend, sink) as watch,
        ):
            ended = run_study(plan, store, backend, watch, run_folder(storage, plan.name))
    except (KeyboardInterrupt, BrokenPipeError):
        raise TryAgainError(f"study '{plan.name}' stopped; the same command continues it") from None
    return read_result(store, plan.name, ended)


@contextmanager
def open_gauges(place: str | None) -> Iterator[Sink | None]:
    """Where gauges are served, ``[ADDRESS:]PORT``, until the end; None serves none."""
    if place is None:
        yield None
        return
    try:
        from archsearch.gauges.endpoint import Endpoint
    except ModuleNotFoundError:
        raise InputError(
            "--metrics needs prometheus-client; try 'pip install archsearch[metrics]'"
        ) from None
    endpoint = Endpoint(place)
    click.echo(f"gauges at {endpoint.url}", err=True)
    try:
        yield endpoint
    finally:
        endpoint.close()


@contextmanager
def _watching(
    plan: Plan, watcher: Watcher, backend: Backend, sink: Sink | None
) -> Iterator[Callable[[Progress], None]]:
    """What the driver reports to: who shows it and, where gauges have a place, these."""
    if sink is None and isinstance(backend, RayBackend):
        sink = Relay(backend.measure)
    if sink is None:
        yield watcher
        return
    meter = Meter(plan, sink)

    def both(report: Progress) -> None:
        watcher(report)
        meter(report)

    try:
        yield both
    finally:
        meter.stop()


def _renamed(plan: Plan, store: Store) -> Plan:
    number, name = 2, plan.name
    while (found := store.find_study(name)) is not None:
        if is_same(found.fingerprint, plan.fingerprint()):
            break
        name, number = f"{plan.name}-{number}", number + 1
    return replace(plan, name=name)


def adapt(
    results: list[Result], settings: DepthSettings, storage: str, quiet: bool
) -> dict[str, Bundle]:
    """Bundles of the answers that adapt their depth, by study; a study without one is left out."""
    from archsearch.cli.adapting import adapt_study
    from archsearch.cli.tables import trial_at

    def say(line: str) -> None:
        if not quiet:
            click.echo(line, err=True)

    return {
        result.name: adapt_study(result, trial_at(result, None), settings, storage, say=say)
        for result in results
        if result.ranked
    }


def export(
    results: list[Result],
    storage: str,
    folder: Path | None,
    adapted: Mapping[str, Bundle] | None = None,
) -> list[tuple[str, Path]]:
    """The winners as bundles, one folder each under ``folder`` when there are several.

    Of a study with a bundle that adapts its depth it is that one.
    """
    if folder is None:
        return []
    from archsearch.cli.export import export_result

    exported = []
    for result in results:
        if result.evidence is not None and result.evidence.best is not None:
            place = folder / result.name.split("/")[-1] if len(results) > 1 else folder
            if adapted and result.name in adapted:
                from archsearch.cli.adapting import copied

                bundle = copied(adapted[result.name], place, force=True)
                exported.append((f"{bundle.architecture.title}, adapting its depth,", place))
                continue
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
