"""``archsearch shrink``: a smaller network that has learned from the one of a bundle."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archsearch.cli.options import json_option, print_json
from archsearch.errors import InputError
from archsearch.select.verdict import number
from archsearch.serve.folder import check_place
from archsearch.serve.manifest import MANIFEST, WEIGHTS, read_manifest

if TYPE_CHECKING:
    from archsearch.execute.shrink import Child, Parent
    from archsearch.serve.bundle import Bundle
    from archsearch.tasks.task import Task

EXAMPLE = """\b
Examples:
  archsearch shrink exports/quickstart exports/small
  archsearch shrink exports/quickstart exports/tiny --largest 0.1 --trials 12
"""


@click.command(epilog=EXAMPLE)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--largest", type=click.FloatRange(0, 1, min_open=True), default=0.5,
              show_default=True, help="The most weights, as a share of the parent's.")  # fmt: skip
@click.option("--trials", type=click.IntRange(1, 1000), default=8, show_default=True,
              help="Smaller networks that are tried, a quarter of the steps each.")  # fmt: skip
@click.option("--steps", type=click.IntRange(1), help="Steps of the one that is kept; default: the "
              "parent's.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--force", is_flag=True, help="Replace a bundle that is already there.")
@json_option
def shrink(
    bundle: Path,
    folder: Path,
    largest: float,
    trials: int,
    steps: int | None,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Distil the model of BUNDLE into a smaller one, a bundle in FOLDER.

    Networks with some of its blocks and less width learn to answer as it does, and the one with the
    best of size and quality on validation is trained in earnest and judged once on test, beside its
    parent and the same small network without a teacher. The data must be where they were. Running
    the same command again continues where it stopped.
    """
    if folder.parent.is_dir() or folder.name in ("", ".."):
        check_place(folder, (MANIFEST, WEIGHTS), force=force)
    # a fault in the manifest is told before torch is loaded
    read_manifest(bundle)
    from archsearch.execute.shrink import Lessons, best, children, judged
    from archsearch.plugins import load_catalog
    from archsearch.serve.bundle import read_bundle, write_bundle
    from archsearch.tasks.open import open_task

    catalog = load_catalog()
    source = read_bundle(bundle, catalog)
    parent = _parent(source, open_task(source.manifest.task))
    test = open_task(source.manifest.task, "confirm")
    own = judged(parent.model, test, "test")
    _say_if_other(source, parent, own[parent.objective.metric])
    aside = folder.parent / f".{folder.name}.shrinking"
    aside.mkdir(parents=True, exist_ok=True)
    lessons = Lessons(parent, aside, seed)
    length = steps or int(str(parent.architecture.training["steps"]))
    child = best(
        lessons, children(parent, catalog, trials, largest, seed), length, _told(parent, as_json)
    )
    taught, weights = lessons.grown_up(child, length, taught=True)
    untaught, _ = lessons.grown_up(child, length, taught=False)
    for outcome in (taught, untaught):
        if not outcome.state.has_value:
            raise InputError(f"its training ended {outcome.state}: {outcome.message}")
    metric = parent.objective.metric
    facts: dict[str, Any] = {
        "test": dict(taught.metrics),
        "chance": test.chance(),
        "parent": {
            "title": parent.architecture.title,
            "sha256": parent.sha256,
            "params": parent.params,
            "test": own,
            "study": source.facts.get("study"),
        },
        "untaught": {metric: untaught.metric(metric)},
        "tried": trials,
        "params": child.params,
    }
    facts["verdict"] = _verdict(facts, metric, child)
    write_bundle(
        folder, weights, child.architecture, source.signature, source.preparation, facts, catalog,
        task=source.manifest.task, force=force,
    )  # fmt: skip
    shutil.rmtree(aside)
    if as_json:
        print_json(facts)
    else:
        click.echo(f"{facts['verdict']}; exported to {folder}")


def _parent(source: Bundle, task: Task) -> Parent:
    from archsearch.execute.shrink import Parent, judged

    objective = task.metrics[0]
    model = source.model()
    return Parent(
        model=model,
        architecture=source.architecture,
        task=source.manifest.task,
        data=task.fingerprint,
        signature=source.signature,
        objective=objective,
        params=sum(p.numel() for p in model.parameters()),
        value=judged(model, task, "validation")[objective.metric],
        sha256=source.manifest.sha256,
    )


def _say_if_other(source: Bundle, parent: Parent, value: float) -> None:
    """A parent that scores otherwise than at its export has met other data."""
    metric = parent.objective.metric
    before = source.facts.get("test", {}).get(metric)
    if before is not None and abs(before - value) > 1e-3 * max(abs(before), abs(value)):
        click.echo(
            f"note: its {metric} was {number(before)} at the export and is {number(value)} here;"
            " the data are other ones",
            err=True,
        )


def _told(parent: Parent, quiet: bool) -> Any:
    def told(child: Child) -> None:
        value = "failed" if child.value is None else f"{number(child.value)} on validation"
        share = child.params / parent.params
        if not quiet:
            click.echo(f"{child.architecture.title}: {share:.1%} of the weights, {value}", err=True)

    return told


def _verdict(facts: dict[str, Any], metric: str, child: Child) -> str:
    parent = facts["parent"]
    times = parent["params"] / child.params
    return (
        f"{child.architecture.title}, {child.params:,} parameters, reaches "
        f"{number(facts['test'][metric])} {metric} on test; its parent, {times:.1f} times as "
        f"large, {number(parent['test'][metric])}, and the same network without it "
        f"{number(facts['untaught'][metric])}"
    )
