"""Predictions of a bundle that goes on learning from the file it predicts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archsearch.cli.options import parse_assignments
from archsearch.cli.waiting import told_how_far
from archsearch.serve.manifest import read_manifest
from archsearch.spec.learnsettings import settings_of
from archsearch.spec.signature import Signature

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


@dataclass(frozen=True)
class Learned:
    """Answers as a table, and what is to be said of how they came about."""

    table: pd.DataFrame
    notes: list[str]


def learned_answers(
    bundle: Path, data: str, learn: str, assignments: tuple[str, ...], changed_plugins: bool
) -> Learned:
    """The table that ``predict`` gives, of a model that learned from each sequence of the data.

    Each sequence is begun with the export. Raises InputError or DataError before torch is loaded
    where the settings or the data are amiss, or where no truths arrive later in such data.
    """
    settings = settings_of(learn, parse_assignments(assignments, "rate=0.05"))
    manifest = read_manifest(bundle)
    from archsearch.tasks.prepare import answers
    from archsearch.tasks.prequential import read_streams

    streams = read_streams(data, manifest.preparation)
    from archsearch.serve.bundle import read_bundle
    from archsearch.serve.learning import LearningStream
    from archsearch.serve.prequential import prequential

    model = read_bundle(bundle, changed_plugins=changed_plugins)
    stream = LearningStream(model, settings)
    steps, done = sum(len(told.inputs) for told in streams.told), 0

    def counted(inputs: np.ndarray) -> Iterator[np.ndarray]:
        nonlocal done
        for x_t in inputs:
            yield x_t
            done += 1

    with told_how_far(lambda: f"learned from {done:,} of {steps:,} steps"):
        found = [prequential(stream, counted(told.inputs), told.arriving) for told in streams.told]
    said = [_as_put_out(run.learning, model.signature) for run in found]
    frozen = [_as_put_out(run.frozen, model.signature) for run in found]
    notes = [*model.notes, _errors(streams.errors(frozen), streams.errors(said), streams.metric)]
    learned, refused, held = (
        sum(counts) for counts in zip(*((r.learned, r.refused, r.held) for r in found), strict=True)
    )
    notes.append(
        f"{learned} updates, {refused} refused; the frozen network answered {held} of "
        f"{sum(len(each) for each in said)} steps itself; moved by "
        f"{max(run.moved for run in found):.2%} of its size"
    )
    return Learned(answers(streams.prepared, streams.put_out(said), manifest.preparation), notes)


def _errors(frozen: np.ndarray, learning: np.ndarray, metric: str) -> str:
    """Prequential errors in words."""
    if not len(frozen):
        return "too short to learn from: no truth arrived"
    before, after = float(frozen.mean()), float(learning.mean())
    change = f" ({after / before - 1:+.1%})" if before else ""
    return (
        f"{metric} of answers given before their truth was known: {after:.4g} learning, "
        f"{before:.4g} frozen{change}"
    )


def _as_put_out(answers: np.ndarray, signature: Signature) -> np.ndarray:
    """Answers of a stream as what the model puts out: of probabilities the logarithms."""
    import numpy as np

    if signature.targets == "value":
        return answers
    logs: np.ndarray = np.log(np.maximum(answers, np.finfo(np.float32).tiny))
    return logs
