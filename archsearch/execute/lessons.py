"""Trainings that learn from a trained network, and may begin with what is made of its weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import nn

from archsearch.execute.files import written_whole
from archsearch.execute.job import Job
from archsearch.execute.plain import outcome_from_plain, outcome_to_plain
from archsearch.execute.run_job import run_job, settled
from archsearch.spec.architecture import Architecture, Layer
from archsearch.spec.settings import Objective, TaskSpec, derived_seed, fingerprint
from archsearch.spec.signature import Signature
from archsearch.spec.trial import Outcome
from archsearch.tasks.task import Split, Task
from archsearch.train.distil import Matching
from archsearch.train.judge import judge


@dataclass(frozen=True)
class Lesson(Job):
    """A job that learns from a teacher, of which ``teacher`` is the SHA-256; from none if empty.

    ``begun`` says what its weights begin as, where they are not drawn.
    """

    teacher: str = ""
    begun: str = ""

    @cached_property
    def key(self) -> str:
        return fingerprint([super().key, self.teacher, *filter(None, (self.begun,))])


@dataclass(frozen=True)
class Parent:
    """A trained network: what it is, how large, how good on validation, and its SHA-256.

    ``plugins`` are the distributions that provide layers of it, each with the SHA-256 of its code.
    """

    model: nn.Module
    architecture: Architecture
    task: TaskSpec
    data: str
    signature: Signature
    objective: Objective
    params: int
    value: float
    sha256: str
    plugins: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Beginning:
    """What a model's weights are made into before its first step, and a name for how."""

    name: str
    apply: Callable[[nn.Module], object]


class Lessons:
    """The trainings of a parent's children; what is finished is in ``folder``, and not repeated."""

    def __init__(self, parent: Parent, folder: Path, seed: int) -> None:
        self.parent, self.folder, self.seed = parent, folder, seed

    def on_validation(self, architecture: Architecture, steps: int) -> Outcome:
        """A lesson of so many steps, judged on validation."""
        return self._learn(_with_steps(architecture, steps), "search", taught=True)

    def on_test(
        self,
        architecture: Architecture,
        steps: int,
        name: str,
        *,
        taught: bool = True,
        begin: Beginning | None = None,
    ) -> tuple[Outcome, Path]:
        """A whole training, judged once on test, and where its weights are, a file of that name."""
        kept = self.folder / f"{name}.safetensors"
        shape = _with_steps(architecture, steps)
        return self._learn(shape, "confirm", taught=taught, keep=kept, begin=begin), kept

    def _learn(
        self,
        architecture: Architecture,
        protocol: str,
        *,
        taught: bool,
        keep: Path | None = None,
        begin: Beginning | None = None,
    ) -> Outcome:
        parent = self.parent
        job = Lesson(
            trial=0,
            title=architecture.title,
            task=parent.task,
            data=parent.data,
            architecture=architecture,
            seed=derived_seed(self.seed, architecture.digest),
            protocol="confirm" if protocol == "confirm" else "search",
            objectives=(parent.objective,),
            keep=None if keep is None else str(keep),
            checkpoints=str(self.folder / "checkpoints"),
            plugins=parent.plugins,
            teacher=parent.sha256 if taught else "",
            begun="" if begin is None else f"{begin.name} of {parent.sha256}",
        )
        stored = self.folder / f"{job.key}.json"
        if stored.is_file() and (keep is None or keep.is_file()):
            return outcome_from_plain(json.loads(stored.read_text()))
        outcome = run_job(
            job,
            Matching(parent.model) if taught else None,
            begin=None if begin is None else begin.apply,
        )
        # what went wrong may go right another time
        if outcome.state.has_value:
            with written_whole(stored) as stream:
                stream.write(json.dumps(outcome_to_plain(outcome)).encode())
        return outcome


def judged(model: nn.Module, task: Task, split: Split) -> dict[str, float]:
    """The metrics of a trained network, computed as those of every trial are."""
    with settled(0):
        return judge(model, task, split)


def _with_steps(architecture: Architecture, steps: int) -> Architecture:
    training = architecture.training
    options = dict(training.options) | {"steps": steps}
    return replace(architecture, training=Layer(training.name, tuple(options.items())))
