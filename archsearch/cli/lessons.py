"""What commands have in common that train another network after the one of a bundle."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archsearch.errors import MAKE_ROOM, InputError, TryAgainError
from archsearch.select.verdict import number
from archsearch.serve.folder import folders_above
from archsearch.spec.trial import Outcome, State

if TYPE_CHECKING:
    from archsearch.execute.lessons import Parent
    from archsearch.serve.bundle import Bundle
    from archsearch.tasks.task import Task


def parent_of(source: Bundle) -> tuple[Parent, Task, dict[str, float]]:
    """The bundle's network, its task with the test split, and what it scores there now.

    A network that scores otherwise than at its export has met other data, which is said.
    """
    from archsearch.execute.lessons import Parent, judged
    from archsearch.tasks.open import open_task

    task, test = (open_task(source.manifest.task, part) for part in ("search", "confirm"))
    objective = task.metrics[0]
    model = source.model()
    parent = Parent(
        model=model,
        architecture=source.architecture,
        task=source.manifest.task,
        data=task.fingerprint,
        signature=source.signature,
        objective=objective,
        params=sum(p.numel() for p in model.parameters()),
        value=judged(model, task, "validation")[objective.metric],
        sha256=source.manifest.sha256,
        plugins=tuple({p.distribution: p.sha256 or "" for p in source.manifest.plugins}.items()),
    )
    own = judged(model, test, "test")
    value, before = own[objective.metric], source.facts.get("test", {}).get(objective.metric)
    if before is not None and abs(before - value) > 1e-3 * max(abs(before), abs(value)):
        click.echo(
            f"note: its {objective.metric} was {number(before)} at the export and is"
            f" {number(value)} here; the data are other ones",
            err=True,
        )
    return parent, test, own


def told_of(parent: Parent, own: dict[str, float], source: Bundle) -> dict[str, Any]:
    """What a bundle says of the one it comes from."""
    return {
        "title": parent.architecture.title,
        "sha256": parent.sha256,
        "params": parent.params,
        "test": own,
        "study": source.facts.get("study"),
    }


def teller(about: str, quiet: bool) -> Callable[[str], None]:
    """What says on stderr which of several trainings is begun, unless ``quiet``."""
    return lambda which: None if quiet else click.echo(f"{about}{which}", err=True)


def require_value(outcome: Outcome, training: str = "its training") -> None:
    """Raise InputError where a training has no value to show, TryAgainError where its weights were
    not to be kept.
    """
    if outcome.state is State.RUNNING:
        raise TryAgainError(f"{outcome.message}; {MAKE_ROOM}")
    if not outcome.state.has_value:
        raise InputError(f"{training} ended {outcome.state}: {outcome.message}")


@contextmanager
def kept_aside(folder: Path, name: str) -> Iterator[Path]:
    """Where the trainings that are finished wait until the bundle in ``folder`` is written.

    It goes with the end. A command that is stopped leaves it for the next one, unless it is empty;
    one that refuses its input leaves none that it made.
    """
    aside = folder.parent / f".{folder.name}.{name}"
    was_there = aside.exists()
    with folders_above(aside / "trainings"):
        try:
            yield aside
        except InputError:
            if not was_there:
                shutil.rmtree(aside)
            raise
    shutil.rmtree(aside)
