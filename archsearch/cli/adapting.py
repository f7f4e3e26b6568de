"""What ``archsearch adapt`` does: a model with data of its own, a policy for it, and a bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from archsearch.adapt.adapt import Parts, adapt, apart, split
from archsearch.adapt.adapted import Adapted
from archsearch.adapt.examples import examples_of
from archsearch.build import build
from archsearch.cli.export import refuse_changed_plugins
from archsearch.cli.lessons import require_value
from archsearch.cli.results import ADAPTED, Result, run_folder
from archsearch.errors import InputError, StateError
from archsearch.execute.job import Job
from archsearch.execute.run_job import run_job, settled
from archsearch.plugins import as_recorded, load_catalog
from archsearch.serve.bundle import Bundle, expected_state, read_bundle, write_bundle
from archsearch.serve.folder import folders_above, write_folder
from archsearch.serve.manifest import MANIFEST, WEIGHTS
from archsearch.serve.weights import read_weights
from archsearch.spec.depthsettings import DepthSettings
from archsearch.spec.trial import Trial
from archsearch.tasks.again import read_labelled_again, refuse_other_kinds
from archsearch.tasks.declared import TASKS
from archsearch.tasks.open import open_task

SEED = 0
# of a file's sequences, what is measured at the end
TEST_SHARE = 0.25
PROTOCOL = "trained on the training split alone, so that the policy has data of its own"
Say = Callable[[str], None]


def adapt_study(
    result: Result,
    chosen: Trial,
    settings: DepthSettings,
    storage: str,
    *,
    say: Say = lambda _: None,
) -> Bundle:
    """Train a trial of a study on its training split, adapt it, and keep the bundle with the study.

    Chains are searched, tuned and calibrated on parts of the validation split, and measured on
    test. What was already done with the same settings is read back.
    """
    refuse_changed_plugins(result, chosen)
    folder = run_folder(storage, result.name)
    place = folder / ADAPTED
    task = open_task(result.task, "search")
    if task.fingerprint != result.data:
        raise StateError(
            f"the data of study '{result.name}' is not what it was begun with; put it back"
        )
    if (place / MANIFEST).is_file():
        known = read_bundle(place)
        if _settings_of(known) == asdict(settings) and known.architecture == chosen.architecture:
            return known
    catalog = load_catalog(named=as_recorded(result.settings.get("providers", ())))
    signature = task.signature
    weights = read_weights(
        _trained(result, chosen, folder, say),
        expected_state(chosen.architecture, catalog, signature),
    )
    model = build(chosen.architecture, catalog, signature, seed=0)
    model.load_state_dict(weights, strict=True)
    model.eval().requires_grad_(False)
    held = examples_of(task.evaluation("validation"), signature)
    parts = apart(held, examples_of(task.evaluation("test"), signature), SEED)
    with settled(SEED):
        found = adapt(model, parts, settings, seed=SEED, say=say)
    facts = {
        "study": result.name,
        "competitor": f"trial {chosen.index}",
        "protocol": PROTOCOL,
        "chance": result.facts["chance"],
    }
    return write_bundle(
        place,
        weights,
        chosen.architecture,
        signature,
        task.preparation(),
        facts,
        catalog,
        task=result.task,
        depth=_noted(found, settings),
        force=True,
    )


def adapt_bundle(
    bundle: Bundle,
    data: str | None,
    settings: DepthSettings,
    folder: Path,
    *,
    force: bool = False,
    say: Say = lambda _: None,
) -> Bundle:
    """The same model in another bundle that adapts its depth.

    ``data`` is a labelled file that it was not trained on; a task that draws its sequences needs
    none.
    """
    manifest = bundle.manifest
    if manifest.sizes:
        raise InputError(
            f"{bundle.path}: its maps were made smaller when it was written; adapt the study"
        )
    parts = _parts(bundle, data)
    with settled(SEED):
        found = adapt(bundle.model(), parts, settings, seed=SEED, say=say)
    with folders_above(folder):
        return write_bundle(
            folder,
            bundle.state,
            bundle.architecture,
            bundle.signature,
            bundle.preparation,
            bundle.facts,
            bundle.catalog,
            task=manifest.task,
            depth=_noted(found, settings),
            force=force,
        )


def _parts(bundle: Bundle, data: str | None) -> Parts:
    signature = bundle.signature
    if data is None:
        declared = {entry.name: entry for entry in TASKS}[bundle.manifest.task.layer.name]
        if "data" in declared.options:
            refuse_other_kinds(str(bundle.path), bundle.preparation)
            raise InputError(
                f"{bundle.path}: give it labelled sequences that it was not trained on, with --data"
            )
        task = open_task(bundle.manifest.task, "confirm")
        held = examples_of(task.evaluation("validation"), signature)
        return apart(held, examples_of(task.evaluation("test"), signature), SEED)
    whole = examples_of(read_labelled_again(data, bundle.preparation), signature)
    held, test = split(whole, TEST_SHARE, SEED)
    return apart(held, test, SEED)


def _trained(result: Result, trial: Trial, folder: Path, say: Say) -> Path:
    """The weights of a trial as it was searched: trained on the training split."""
    kept = folder / f"{trial.digest}-{trial.seed}-search.safetensors"
    if kept.is_file():
        return kept
    say(f"training {trial.architecture.title} on the training split")
    kept.parent.mkdir(parents=True, exist_ok=True)
    job = Job(
        trial=trial.index,
        title=f"trial {trial.index}",
        task=result.task,
        data=result.data,
        architecture=trial.architecture,
        seed=trial.seed,
        objectives=result.objectives,
        keep=str(kept),
        plugins=result.code_of(trial.architecture),
        gpus=result.gpus_of(trial.architecture),
    )
    outcome = run_job(job)
    require_value(outcome, f"training trial {trial.index}")
    return kept


def _noted(found: Adapted, settings: DepthSettings) -> Adapted:
    return replace(found, report={**found.report, "settings": asdict(settings)})


def _settings_of(bundle: Bundle) -> Any:
    depth = bundle.manifest.depth or {}
    return depth.get("report", {}).get("settings")


def copied(bundle: Bundle, folder: Path, *, force: bool = False) -> Bundle:
    """The same bundle in another folder."""
    files = {name: (bundle.path / name).read_bytes() for name in (MANIFEST, WEIGHTS)}
    with folders_above(folder):
        return write_folder(folder, files, read_bundle, force=force)
