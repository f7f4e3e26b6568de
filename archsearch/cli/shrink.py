"""``archsearch shrink``: a smaller network that has learned from the one of a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archsearch.cli.lessons import kept_aside, parent_of, require_value, teller, told_of
from archsearch.cli.options import Finite, json_option, print_json
from archsearch.select.verdict import number
from archsearch.serve.folder import check_folder
from archsearch.serve.manifest import MANIFEST, WEIGHTS, read_manifest

if TYPE_CHECKING:
    from archsearch.execute.lessons import Parent
    from archsearch.execute.shrink import Child

EXAMPLE = """\b
Examples:
  archsearch shrink exports/quickstart exports/small
  archsearch shrink exports/quickstart exports/tiny --largest 0.1 --trials 12
"""


@click.command(epilog=EXAMPLE)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--largest", type=Finite(0, 1, min_open=True), default=0.5,
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
    check_folder(folder, (MANIFEST, WEIGHTS), force=force)
    # a fault in the manifest is told before torch is loaded
    read_manifest(bundle)
    from archsearch.execute.lessons import Lessons
    from archsearch.execute.shrink import best, children
    from archsearch.serve.bundle import read_bundle, write_bundle

    source = read_bundle(bundle)
    catalog = source.catalog
    parent, test, own = parent_of(source)
    length = steps or int(str(parent.architecture.training["steps"]))
    some = children(parent, catalog, trials, largest, seed)
    metric = parent.objective.metric
    with kept_aside(folder, "shrinking") as aside:
        lessons = Lessons(parent, aside, seed)
        child = best(lessons, some, length, _told(parent, as_json))
        say = teller(f"training {child.architecture.title}, {length} steps: ", as_json)
        say("after its parent")
        taught, weights = lessons.on_test(child.architecture, length, "taught")
        require_value(taught)
        say("without it, to compare with")
        untaught, _ = lessons.on_test(child.architecture, length, "untaught", taught=False)
        require_value(untaught)
        facts: dict[str, Any] = {
            "test": dict(taught.metrics),
            "chance": test.chance(),
            "parent": told_of(parent, own, source),
            "untaught": {metric: untaught.metric(metric)},
            "tried": trials,
            "params": child.params,
        }
        facts["verdict"] = _verdict(facts, metric, child)
        write_bundle(
            folder, weights, child.architecture, source.signature, source.preparation, facts,
            catalog, task=source.manifest.task, force=force,
        )  # fmt: skip
    if as_json:
        print_json(facts)
    else:
        click.echo(f"{facts['verdict']}; exported to {folder}")


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
