"""``archsearch predict``: what a bundle says of a new file."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archsearch.cli.options import json_option, print_json
from archsearch.cli.outputs import check_output, no_part_of
from archsearch.cli.waiting import told_how_far
from archsearch.errors import InputError
from archsearch.serve.manifest import read_manifest

if TYPE_CHECKING:
    import pandas as pd

EXAMPLE = """\b
Examples:
  archsearch predict exports/quickstart new.csv
  archsearch predict exports/quickstart new.csv --output answers.csv
  archsearch predict exports/adaptive new.csv --compute 0.5
  archsearch predict exports/load new.csv --learn memory --set rate=0.05
"""


@click.command(epilog=EXAMPLE)
@click.argument("bundle", type=click.Path(path_type=Path))
@click.argument("data")
@click.option("--output", "-o", type=click.Path(path_type=Path), help="CSV file for the answers.")
@click.option("--compute", type=float, metavar="SHARE", help="Apply this share of the layers on "
              "average, from 0 to 1; the bundle must be of `archsearch adapt`.")  # fmt: skip
@click.option("--uncertified", is_flag=True, help="Take a --compute that was not certified.")
@click.option("--learn", type=click.Choice(["state", "memory"]), help="Read series or a text from "
              "the start and go on learning from it: `state` corrects what the network remembers, "
              "`memory` writes beside its head.")  # fmt: skip
@click.option("--set", "assignments", metavar="KEY=VALUE", multiple=True, help="A setting of "
              "--learn, e.g. rate=0.05 (repeatable).")  # fmt: skip
@click.option("--allow-changed-plugins", is_flag=True, help="Predict with a plugin whose code is "
              "not that of the export.")  # fmt: skip
@json_option
def predict(
    bundle: Path,
    data: str,
    output: Path | None,
    compute: float | None,
    uncertified: bool,
    learn: str | None,
    assignments: tuple[str, ...],
    allow_changed_plugins: bool,
    as_json: bool,
) -> None:
    """Apply the model of BUNDLE to DATA, a file like the one it was trained on (or `ucr:NAME`).

    Classes come with probabilities, forecasts with their times, text with the likelihood of each
    character. DATA needs no target column. With --learn, each step of DATA is predicted before it
    is learned from, and the errors of the network with and without learning are told.
    """
    if output is not None:
        check_output(output)
        if output.exists() and Path(data).exists() and output.samefile(data):
            raise InputError(f"{output}: is the file to predict; name another one for the answers")
    if learn is not None:
        from archsearch.cli.learning import learned_answers

        if compute is not None:
            raise InputError("--learn and --compute: a stream learns with all of its layers")
        found = learned_answers(bundle, data, learn, assignments, allow_changed_plugins)
        show_answers(found.table, found.notes, output, as_json)
        return
    if assignments:
        raise InputError("--set is of --learn; add --learn state or --learn memory")
    # the manifest and the data are read first: a fault in them is told before torch is loaded
    manifest = read_manifest(bundle)
    import numpy as np

    from archsearch.tasks.prepare import answers, read_for_prediction

    prepared = read_for_prediction(data, manifest.preparation)
    from archsearch.serve.bundle import read_bundle
    from archsearch.serve.predictor import Predictor

    model = read_bundle(bundle, changed_plugins=allow_changed_plugins)
    predictor = Predictor(model, compute=compute, uncertified=uncertified)
    outputs: list[np.ndarray] = []
    applied = 0.0
    sizes = [batch.size for batch in prepared.batches]
    longest = max((batch.inputs.shape[1] for batch in prepared.batches), default=0)

    def how_far() -> str:
        return (
            f"predicted {sum(sizes[: len(outputs)]):,} of {sum(sizes):,} sequences, the longest of "
            f"{longest:,} steps"
        )

    with told_how_far(how_far):
        for batch in prepared.batches:
            outputs.append(predictor.predict(batch.inputs, batch.lengths))
            applied += (predictor.applied or 0.0) * batch.size
    if model.signature.targets == "class":
        # answers are worded from logits; the logarithm of a probability is one
        outputs = [np.log(np.maximum(each, np.finfo(np.float32).tiny)) for each in outputs]
    table = answers(prepared, outputs, model.preparation)
    notes = [*model.notes, *prepared.notes]
    if compute is not None:
        share = applied / sum(sizes)
        notes.append(f"{share:.1%} of the layers were applied")
    show_answers(table, notes, output, as_json)


def show_answers(
    table: pd.DataFrame, notes: Iterable[str], output: Path | None, as_json: bool
) -> None:
    """The notes on stderr, and the table where it was asked for."""
    for note in notes:
        click.echo(f"note: {note}", err=True)
    if output is not None:
        with no_part_of(output):
            table.to_csv(output, index=False)
        click.echo(f"{len(table)} answers in {output}")
    elif as_json:
        print_json(table.to_dict(orient="records"))
    else:
        # click would take a name's escape codes for colours, and leave them out
        click.echo(table.to_csv(index=False), nl=False, color=True)
