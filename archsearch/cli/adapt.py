"""``archsearch adapt``: a model that applies less of itself to inputs that need less."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from archsearch.cli.options import Finite, console, json_option, print_json, storage_option
from archsearch.cli.outputs import check_output, no_part_of
from archsearch.errors import InputError
from archsearch.spec.depthsettings import GUARANTEES, MOVES, POLICIES, RISKS, DepthSettings

EXAMPLE = """\b
Examples:
  archsearch adapt quickstart exports/adaptive
  archsearch adapt quickstart --policy gap --delta 0.02 --picture depth.svg
  archsearch adapt exports/quickstart exports/adaptive --data more.csv
"""
DEFAULT = DepthSettings()
BETWEEN = Finite(0.001, 0.999)


@click.command(epilog=EXAMPLE)
@click.argument("source")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--data", help="Labelled file (or `ucr:NAME`) that the model of a bundle was not "
              "trained on.")  # fmt: skip
@click.option("--trial", type=int, help="Trial of a study; default: the best one.")
@click.option("--policy", type=click.Choice(["best", *POLICIES]), default=DEFAULT.policy,
              show_default=True, help="Who says how much an input gets.")  # fmt: skip
@click.option("--moves", type=click.Choice(MOVES), default=DEFAULT.moves, show_default=True,
              help="What chains of layers may do.")  # fmt: skip
@click.option("--chains", type=click.IntRange(2, 100), default=DEFAULT.chains, show_default=True,
              help="The most chains that a router chooses from.")  # fmt: skip
@click.option("--simulations", type=click.IntRange(1, 10_000), default=DEFAULT.simulations,
              show_default=True, help="Of a tree search, for each sequence.")  # fmt: skip
@click.option("--guarantee", type=click.Choice(GUARANTEES), default=DEFAULT.guarantee,
              show_default=True, help="How the knob is certified.")  # fmt: skip
@click.option("--risk", type=click.Choice(RISKS), default=DEFAULT.risk, show_default=True,
              help="What is bounded: other answers, or lost right ones.")  # fmt: skip
@click.option("--delta", type=BETWEEN, default=DEFAULT.delta, show_default=True,
              help="The risk that is allowed.")  # fmt: skip
@click.option("--epsilon", type=BETWEEN, default=DEFAULT.epsilon, show_default=True,
              help="How often the bound may fail.")  # fmt: skip
@click.option("--picture", type=click.Path(path_type=Path), metavar="FILE.svg",
              help="Draw accuracy against applied layers.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a bundle that is already in FOLDER.")
@storage_option
@json_option
def adapt(
    source: str,
    folder: Path | None,
    data: str | None,
    trial: int | None,
    picture: Path | None,
    force: bool,
    storage: str,
    as_json: bool,
    **given: Any,
) -> None:
    """Let the answer of a study, or the model of a bundle, adapt its depth to each input.

    SOURCE is a study or the folder of a bundle. Chains of its layers are searched on data of their
    own, a policy that needs no labels is fitted and certified, and the bundle in FOLDER carries it:
    `archsearch predict FOLDER DATA --compute 0.5` applies half of the layers on average. A study
    keeps one beside its database, which `archsearch show` prints.
    """
    from archsearch.serve.folder import check_folder
    from archsearch.serve.manifest import MANIFEST, WEIGHTS

    settings = DepthSettings(**{field.name: given[field.name] for field in fields(DepthSettings)})
    files = (MANIFEST, WEIGHTS)
    if picture is not None:
        check_output(picture)
    if folder is not None:
        check_folder(folder, files, force=force)
    say = (lambda _: None) if as_json else (lambda line: click.echo(line, err=True))
    if (Path(source) / MANIFEST).exists():
        depth, title = _of_bundle(Path(source), folder, data, trial, settings, force, say)
    else:
        if data is not None:
            raise InputError(
                f"{source} is no bundle, and --data is for a bundle; a study has data of its own"
            )
        depth, title = _of_study(source, folder, trial, settings, storage, force, say)
    if picture is not None:
        from archsearch.cli.curve_picture import picture as drawn

        with no_part_of(picture):
            picture.write_text(drawn(depth))
    if as_json:
        print_json(depth)
        return
    from archsearch.cli.curves import print_adapted

    print_adapted(console(), depth, title)
    if folder is not None:
        click.echo(
            f"{folder} adapts its depth; try: archsearch predict {folder} DATA --compute 0.5"
        )


def _of_bundle(
    path: Path,
    folder: Path | None,
    data: str | None,
    trial: int | None,
    settings: DepthSettings,
    force: bool,
    say: Any,
) -> tuple[dict[str, Any], str]:
    if trial is not None:
        raise InputError("--trial is for a study; a bundle holds one model")
    if folder is None:
        raise InputError("name the folder of the new bundle after that of the old one")
    from archsearch.serve.manifest import read_manifest

    read_manifest(path)
    from archsearch.cli.adapting import adapt_bundle
    from archsearch.serve.bundle import read_bundle

    made = adapt_bundle(read_bundle(path), data, settings, folder, force=force, say=say)
    return dict(made.manifest.depth or {}), str(folder)


def _of_study(
    name: str,
    folder: Path | None,
    trial: int | None,
    settings: DepthSettings,
    storage: str,
    force: bool,
    say: Any,
) -> tuple[dict[str, Any], str]:
    from archsearch.cli.results import read_result
    from archsearch.cli.tables import trial_at
    from archsearch.store.store import open_store

    with open_store(storage, read_only=True) as store:
        result = read_result(store, name)
    # what is wrong so far is said before torch is imported
    chosen = trial_at(result, trial)
    from archsearch.cli.adapting import adapt_study, copied

    made = adapt_study(result, chosen, settings, storage, say=say)
    if folder is not None:
        copied(made, folder, force=force)
    return dict(made.manifest.depth or {}), name
