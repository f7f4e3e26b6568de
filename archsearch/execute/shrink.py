"""Smaller networks that learn from a trained one, tried at random and then trained in earnest.

Ashok et al. 2018 (arXiv 1709.06030) pick what to remove and to shrink by reinforcement; with as few
trials as are affordable here, random ones come as far.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import nn

from archsearch.build import build
from archsearch.errors import ArchitectureError, InputError
from archsearch.execute.files import written_whole
from archsearch.execute.job import Job
from archsearch.execute.plain import outcome_from_plain, outcome_to_plain
from archsearch.execute.run_job import run_job, settled
from archsearch.spec.architecture import Architecture, Layer
from archsearch.spec.catalog import Catalog
from archsearch.spec.settings import Objective, TaskSpec, derived_seed, fingerprint
from archsearch.spec.signature import Signature
from archsearch.spec.smaller import reward, smaller
from archsearch.spec.trial import Outcome
from archsearch.tasks.task import Split, Task
from archsearch.train.distil import Matching
from archsearch.train.judge import judge

DRAWS = 200  # for every child that is tried
SHORT = 4  # a child is tried with one step for so many


@dataclass(frozen=True)
class Lesson(Job):
    """A job that learns from a teacher, of which ``teacher`` is the SHA-256; from none if empty."""

    teacher: str = ""

    @cached_property
    def key(self) -> str:
        return fingerprint([super().key, self.teacher])


@dataclass(frozen=True)
class Parent:
    """A trained network: what it is, how large, how good on validation, and its SHA-256."""

    model: nn.Module
    architecture: Architecture
    task: TaskSpec
    data: str
    signature: Signature
    objective: Objective
    params: int
    value: float
    sha256: str


@dataclass(frozen=True)
class Child:
    """A smaller network; ``reward`` weighs its size against its ``value`` on validation.

    A child that cannot be built or trained has the reward -1.
    """

    architecture: Architecture
    params: int
    value: float | None = None
    reward: float = -1.0


def children(
    parent: Parent, catalog: Catalog, count: int, largest: float, seed: int
) -> list[Child]:
    """At most ``count`` different ones with at most the share ``largest`` of the parent's weights.

    Raises InputError where there is none.
    """
    rng = random.Random(derived_seed(seed, "children"))
    found: list[Child] = []
    seen: set[str] = set()
    for _ in range(DRAWS * count):
        if len(found) == count:
            break
        drawn = catalog.complete_architecture(smaller(parent.architecture, rng))
        if drawn.digest in seen:
            continue
        seen.add(drawn.digest)
        try:
            model = build(drawn, catalog, parent.signature, seed=0)
        except ArchitectureError:
            continue
        params = sum(p.numel() for p in model.parameters() if p.requires_grad)
        if params <= largest * parent.params and params < parent.params:
            found.append(Child(drawn, params))
    if not found:
        raise InputError(
            f"none of {len(seen)} smaller networks has at most {largest:g} of its"
            f" {parent.params} parameters; allow a larger share"
        )
    return found


class Lessons:
    """The trainings of a parent's children; what is finished is in ``folder``, and not repeated."""

    def __init__(self, parent: Parent, folder: Path, seed: int) -> None:
        self.parent, self.folder, self.seed = parent, folder, seed

    def tried(self, child: Child, steps: int) -> Child:
        """The child after a short lesson, judged on validation."""
        outcome = self._learn(_with_steps(child.architecture, steps), "search", taught=True)
        objective = self.parent.objective
        value = outcome.metric(objective.metric)
        if not outcome.state.has_value or value is None:
            return child
        quality = quality_of(value, self.parent.value, objective)
        saved = 1 - child.params / self.parent.params
        return replace(child, value=value, reward=reward(saved, quality))

    def grown_up(self, child: Child, steps: int, taught: bool) -> tuple[Outcome, Path]:
        """The child after its whole training, judged once on test, and where its weights are."""
        architecture = _with_steps(child.architecture, steps)
        kept = self.folder / f"{'taught' if taught else 'untaught'}.safetensors"
        return self._learn(architecture, "confirm", taught=taught, keep=kept), kept

    def _learn(
        self, architecture: Architecture, protocol: str, *, taught: bool, keep: Path | None = None
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
            teacher=parent.sha256 if taught else "",
        )
        stored = self.folder / f"{job.key}.json"
        if stored.is_file() and (keep is None or keep.is_file()):
            return outcome_from_plain(json.loads(stored.read_text()))
        outcome = run_job(job, Matching(parent.model)) if taught else run_job(job)
        # what went wrong may go right another time
        if outcome.state.has_value:
            with written_whole(stored) as stream:
                stream.write(json.dumps(outcome_to_plain(outcome)).encode())
        return outcome


def judged(model: nn.Module, task: Task, split: Split) -> dict[str, float]:
    """The metrics of a trained network, computed as those of every trial are."""
    with settled(0):
        return judge(model, task, split)


def quality_of(value: float, of_parent: float, objective: Objective) -> float:
    """How good a value is, over how good the parent's is; at most what is finite, at least zero."""
    if objective.direction == "max":
        return max(value, 0.0) / max(of_parent, 1e-12)
    return max(of_parent, 1e-12) / max(value, 1e-12)


def best(lessons: Lessons, some: list[Child], steps: int, told: Callable[[Child], None]) -> Child:
    """The child with the highest reward, the first of equals; InputError where none finished."""
    short = max(1, steps // SHORT)
    found = []
    for child in some:
        found.append(lessons.tried(child, short))
        told(found[-1])
    first = max(found, key=lambda child: child.reward)
    if first.value is None:
        raise InputError("none of the smaller networks could be trained")
    return first


def _with_steps(architecture: Architecture, steps: int) -> Architecture:
    training = architecture.training
    options = dict(training.options) | {"steps": steps}
    return replace(architecture, training=Layer(training.name, tuple(options.items())))
