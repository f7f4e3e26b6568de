"""``archsearch export``: the winner of a study as a bundle that predicts."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import click

from archsearch.cli.lessons import require_value
from archsearch.cli.options import storage_option
from archsearch.cli.plans import slug
from archsearch.cli.results import Result, read_result, run_folder
from archsearch.errors import InputError, StateError
from archsearch.installed import installed
from archsearch.plugins import as_recorded, load_catalog
from archsearch.select.verdict import verdict
from archsearch.serve.folder import check_folder, folders_above
from archsearch.serve.manifest import MANIFEST, SOURCE, WEIGHTS
from archsearch.spec.catalog import suggestion
from archsearch.spec.signature import Signature
from archsearch.spec.spacefile import SpaceFile
from archsearch.spec.trial import Trial
from archsearch.store.store import open_store
from archsearch.study.plan import differences

EXAMPLE = """\b
Examples:
  archsearch export quickstart exports/quickstart
  archsearch export quickstart exports/baseline --candidate lstm
  archsearch export quickstart exports/plain --standalone
  archsearch export exports/adaptive exports/plain --standalone
"""


@click.command(epilog=EXAMPLE)
@click.argument("source")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--candidate", help="A finalist ('trial 17') or baseline ('lstm'); default: whom the "
              "verdict says to take.")  # fmt: skip
@click.option("--standalone", is_flag=True, help="Write plain PyTorch instead: model.py and "
              "model.safetensors, which need no archsearch.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a bundle that is already there.")
@storage_option
def export(
    source: str,
    folder: Path,
    candidate: str | None,
    standalone: bool,
    force: bool,
    storage: str,
) -> None:
    """Write a confirmed model of a study into FOLDER: one JSON file, one safetensors file.

    SOURCE is the study. With --standalone it may be the folder of a bundle, whose depth policy is
    written out too.
    """
    files = (SOURCE if standalone else MANIFEST, WEIGHTS)
    check_folder(folder, files, force=force)
    if (Path(source) / MANIFEST).exists():
        if not standalone:
            raise InputError(f"{source}: is a bundle already; add --standalone for plain PyTorch")
        if candidate is not None:
            raise InputError("--candidate is for a study; a bundle holds one model")
        click.echo(standalone_of(Path(source), folder, force))
        return
    with open_store(storage, read_only=True) as store:
        result = read_result(store, source)
    if standalone:
        click.echo(export_standalone(result, folder, storage, candidate, force))
        return
    name = export_result(result, folder, storage, candidate, force)
    click.echo(f"exported {name} to {folder}; try: archsearch predict {folder} DATA")


def check_export(file: SpaceFile, folder: Path) -> None:
    """Raise InputError where the winners of a space file could not be written, once found."""
    several = len(file.tasks) > 1
    for place in [folder / slug(task.label) for task in file.tasks] if several else [folder]:
        check_folder(place, (MANIFEST, WEIGHTS), force=True)


def export_standalone(
    result: Result, folder: Path, storage: str, candidate: str | None, force: bool
) -> str:
    """Write one competitor as plain PyTorch, checked against its bundle; returns what to say."""
    with TemporaryDirectory() as aside:
        bundle = Path(aside) / "bundle"
        name = export_result(result, bundle, storage, candidate)
        return standalone_of(bundle, folder, force, name)


def standalone_of(bundle: Path, folder: Path, force: bool, name: str | None = None) -> str:
    """Write the model of a bundle as plain PyTorch; returns what to say of it by its name."""
    from archsearch.serve.bundle import read_bundle
    from archsearch.serve.standalone import write_standalone

    read = read_bundle(bundle)
    with folders_above(folder):
        packages = write_standalone(read, folder, force=force)
    name = name or read.architecture.title
    return f"exported {name} to {folder}; model.py there needs {packages} only"


def export_result(
    result: Result, folder: Path, storage: str, candidate: str | None = None, force: bool = False
) -> str:
    """Write the bundle of one confirmed competitor and return its title.

    Its first seed's weights are taken, not those that did best on test; where their file is gone
    they are trained again, which gives the same.
    """
    trial = _chosen(result, candidate)
    refuse_changed_plugins(result, trial)
    from archsearch.serve.bundle import write_bundle

    weights = _weights(result, trial, run_folder(storage, result.name))
    facts = {
        "study": result.name,
        "competitor": trial.role,
        "test": dict(trial.outcome.metrics),
        "chance": result.facts["chance"],
        "evidence": result.evidence.to_plain() if result.evidence else None,
        "verdict": verdict(result.evidence) if result.evidence else None,
    }
    with folders_above(folder):
        write_bundle(
            folder,
            weights,
            trial.architecture,
            Signature.from_plain(result.facts["signature"]),
            result.facts["preparation"],
            facts,
            load_catalog(named=as_recorded(result.settings.get("providers", ()))),
            task=result.task,
            force=force,
        )
    return f"{trial.architecture.title} ({trial.role})"


def _chosen(result: Result, candidate: str | None) -> Trial:
    if result.ended and not result.ranked:
        raise InputError(f"study '{result.name}' kept no model: {result.nobody}")
    if not result.confirmed:
        raise InputError(
            f"study '{result.name}' was not confirmed, so no model was kept; run its space file "
            "to the end, with a 'confirm:' section"
        )
    evidence = result.evidence
    if candidate is None and evidence is not None:
        candidate = evidence.take or evidence.best
        if candidate is None:
            raise InputError(
                f"study '{result.name}': {verdict(evidence)}; name a baseline with --candidate"
            )
    roles = list(dict.fromkeys(trial.role for trial in result.confirmed))
    runs = [trial for trial in result.role(candidate or "") if trial.state.has_value]
    if not runs:
        raise InputError(
            f"no finished run of '{candidate}'{suggestion(candidate or '', roles)}; "
            f"study '{result.name}' judged: {', '.join(roles)}"
        )
    return runs[0]


def refuse_changed_plugins(result: Result, trial: Trial) -> None:
    """Raise StateError if a plugin's code is not what the trial was trained with."""
    for name, stored in result.plugins_of(trial.architecture).items():
        now = installed(name)
        # a study of an earlier archsearch knows the version alone
        known = {"version": stored} if isinstance(stored, str) else stored
        for key, before, after in differences(known, {k: now.to_plain()[k] for k in known}):
            raise StateError(
                f"study '{result.name}' was trained with {name} of {key} {before}, not {after}; "
                "put it back, or run the space file again with --new"
            )


def _weights(result: Result, trial: Trial, folder: Path) -> Path:
    from archsearch.execute.job import Job
    from archsearch.execute.run_job import run_job

    if trial.outcome.weights is not None and Path(trial.outcome.weights).is_file():
        return Path(trial.outcome.weights)
    kept = folder / f"{trial.digest}-{trial.seed}.safetensors"
    if not kept.is_file():
        click.echo("the weights are not here any more; training them again", err=True)
        outcome = run_job(
            Job(
                trial=trial.index,
                title=trial.role,
                task=result.task,
                data=result.data,
                architecture=trial.architecture,
                seed=trial.seed,
                protocol="confirm",
                objectives=result.objectives,
                keep=str(kept),
                plugins=result.code_of(trial.architecture),
                gpus=result.gpus_of(trial.architecture),
            )
        )
        require_value(outcome, f"training {trial.role} again")
    return kept
