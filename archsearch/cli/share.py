"""``archsearch share``: layers that share weights, made from those of a bundle and trained on."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from archsearch.cli.lessons import kept_aside, parent_of, require_value, teller, told_of
from archsearch.cli.options import json_option, print_json
from archsearch.select.verdict import number
from archsearch.serve.folder import check_folder
from archsearch.serve.manifest import MANIFEST, WEIGHTS, read_manifest

EXAMPLE = """\b
Examples:
  archsearch share exports/stack exports/looped --loops 2
  archsearch share exports/stack exports/looped --loops 3 --pattern middle_cycle --rank 4
"""
PATTERNS = ("cycle", "sequence", "middle_cycle", "middle_sequence")
STARTS = ("average", "stepwise", "lower", "upper")


@click.command(epilog=EXAMPLE)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--loops", type=click.IntRange(2), required=True,
              help="How often the shared layers are applied.")  # fmt: skip
@click.option("--pattern", type=click.Choice(PATTERNS), default="cycle", show_default=True,
              help="Layers that share: 1 2 1 2 (cycle) or 1 1 2 2 (sequence); middle_ leaves the "
              "first and the last as they are.")  # fmt: skip
@click.option("--rank", type=click.IntRange(0, 4096), default=8, show_default=True,
              help="Of what each loop keeps beside the shared matrices; 0: nothing.")  # fmt: skip
@click.option("--start", type=click.Choice(STARTS), default="average", show_default=True,
              help="What a shared layer begins as: a mean, or one of its layers.")  # fmt: skip
@click.option("--difference", type=click.Choice(("svd", "zero")), default="svd", show_default=True,
              help="What a loop's difference begins as.")  # fmt: skip
@click.option("--steps", type=click.IntRange(1), help="Steps of training after the parent; "
              "default: the parent's.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--force", is_flag=True, help="Replace a bundle that is already there.")
@json_option
def share(
    bundle: Path,
    folder: Path,
    loops: int,
    pattern: str,
    rank: int,
    start: str,
    difference: str,
    steps: int | None,
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Make the layers of BUNDLE loop over shared weights, a bundle in FOLDER.

    The shared layers begin as what the parent's have in common, learn to answer as it does, and are
    judged once on test, beside the parent, the shared layers before they learned, and the same
    network begun at random. The data must be where they were. Running the same command again
    continues where it stopped.
    """
    check_folder(folder, (MANIFEST, WEIGHTS), force=force)
    # a fault in the manifest is told before torch is loaded
    read_manifest(bundle)
    from archsearch.execute.lessons import Beginning, Lessons, judged
    from archsearch.serve.bundle import read_bundle, write_bundle
    from archsearch.serve.shared import Sharing
    from archsearch.spec.architecture import Layer

    source = read_bundle(bundle)
    catalog = source.catalog
    tie = Layer.of("lora", rank=rank, rest=True) if rank else Layer("shared")
    sharing = Sharing.of(source, loops, pattern, tie, start, difference)
    parent, test, own = parent_of(source)
    length = steps or int(str(parent.architecture.training["steps"]))
    at_first = judged(sharing.model(parent.model)[0], test, "test")
    taken = Beginning(sharing.name, partial(sharing.take_over, stack=parent.model))
    shape, metric = sharing.architecture, parent.objective.metric
    say = teller(f"training {shape.title}, {length} steps: ", as_json)
    with kept_aside(folder, "sharing") as aside:
        lessons = Lessons(parent, aside, seed)
        say("after its parent")
        learned, weights = lessons.on_test(shape, length, "shared", begin=taken)
        require_value(learned)
        say("begun at random, to compare with")
        drawn, _ = lessons.on_test(shape, length, "drawn")
        require_value(drawn)
        facts: dict[str, Any] = {
            "test": dict(learned.metrics),
            "chance": test.chance(),
            "parent": told_of(parent, own, source),
            "before learning": {metric: at_first[metric]},
            "begun at random": {metric: drawn.metric(metric)},
            "params": int(dict(learned.metrics)["params"]),
        }
        facts["verdict"] = _verdict(facts, metric, shape.title)
        write_bundle(
            folder, weights, shape, source.signature, source.preparation, facts, catalog,
            task=source.manifest.task, force=force,
        )  # fmt: skip
    if as_json:
        print_json(facts)
    else:
        click.echo(f"{facts['verdict']}; exported to {folder}")


def _verdict(facts: dict[str, Any], metric: str, title: str) -> str:
    parent = facts["parent"]
    return (
        f"{title}, {facts['params']:,} parameters, reaches {number(facts['test'][metric])}"
        f" {metric} on test; its parent, {parent['params']:,} parameters,"
        f" {number(parent['test'][metric])}; before it learned"
        f" {number(facts['before learning'][metric])}, begun at random"
        f" {number(facts['begun at random'][metric])}"
    )
