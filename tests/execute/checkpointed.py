"""A training long enough to be interrupted, and what it comes to when it is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from archsearch.execute import saver as module
from archsearch.execute.job import Job
from archsearch.execute.run_job import run_job
from archsearch.execute.saver import Saver
from archsearch.spec.architecture import Architecture, Block, Layer, Stage
from archsearch.spec.settings import Objective, TaskSpec
from archsearch.spec.trial import Outcome, State
from archsearch.tasks.open import open_task
from archsearch.train.checkpoint import Checkpoint

STEPS = 12
TASK = TaskSpec("parity", Layer.of("parity", length=10, validation_size=32, test_size=32))


def long_job(folder: Path, steps: int = STEPS, **changes: object) -> Job:
    """A job that leaves a checkpoint after every step, and its weights."""
    training = Layer.of("adamw", steps=steps, batch=8, evaluations=4)
    cell, head = Block(Layer("gla")), Layer.of("linear", dropout=0.2)
    return replace(
        Job(
            trial=0,
            title="a job",
            task=TASK,
            data=open_task(TASK).fingerprint,
            architecture=Architecture(
                8,
                (Stage((cell,)),),
                head=head,
                sparsity=Layer.of("magnitude", density=0.5, updates=3),
                training=training,
            ),
            seed=7,
            objectives=(Objective("accuracy", "max"),),
            keep=str(folder / "weights.safetensors"),
            checkpoints=str(folder / "checkpoints"),
            checkpoint_seconds=0.0,
        ),
        **changes,
    )


def result(outcome: Outcome) -> tuple[object, ...]:
    """All of an outcome that may not depend on how it came about, to the last bit."""
    weights = None if outcome.weights is None else Path(outcome.weights).read_bytes()
    return outcome.state, outcome.metrics, outcome.curve, weights


def undisturbed(folder: Path, **changes: object) -> tuple[object, ...]:
    outcome = run_job(long_job(folder, **changes, checkpoints=None))
    assert outcome.state is State.COMPLETE
    assert outcome.message == ""
    return result(outcome)


@contextmanager
def steps_counted(then: Callable[[int], None] = lambda step: None) -> Iterator[list[int]]:
    """The steps that are trained in this process; ``then`` is called once each is saved."""
    seen: list[int] = []
    original = Saver.__call__

    def counting(self: Saver, take: Callable[[], Checkpoint]) -> None:
        original(self, take)
        seen.append(take().step)
        then(seen[-1])

    with pytest.MonkeyPatch.context() as patch:
        # however long a checkpoint takes here, the next is due
        patch.setattr(module, "SHARE", 0)
        patch.setattr(Saver, "__call__", counting)
        yield seen


def interrupted(job: Job, after: int) -> None:
    """Run the job until a step is saved, and no further."""

    def interrupt(step: int) -> None:
        if step == after:
            raise KeyboardInterrupt

    with steps_counted(interrupt) as seen, pytest.raises(KeyboardInterrupt):
        run_job(job)
    assert seen[-1] == after


def place(job: Job) -> Path:
    return Path(str(job.checkpoints)) / job.key


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def resume(job: Job) -> tuple[tuple[object, ...], str, list[int]]:
    """What came of the job, its message, and the steps that were trained for it."""
    with steps_counted() as seen:
        outcome = run_job(job)
    return result(outcome), outcome.message, seen


def latest(job: Job) -> tuple[int, dict[str, bytes], str] | None:
    """The step and the contents of what a job would go on from."""
    found = Saver(job, []).latest()
    if found is None:
        return None
    tensors = {name: tensor.numpy().tobytes() for name, tensor in found.tensors.items()}
    return found.step, tensors, json.dumps(found.plain, sort_keys=True)
