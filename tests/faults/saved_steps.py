"""The toy's work, put down after each of its steps and taken up again as a training is."""

from __future__ import annotations

from dataclasses import replace

import torch
from toy_study import work

from archsearch.execute.job import Job
from archsearch.execute.saver import Saver
from archsearch.spec.settings import derived_seed
from archsearch.spec.trial import Outcome
from archsearch.train.checkpoint import Checkpoint

STEPS = (1, 2, 3)


def work_and_save(job: Job) -> Outcome:
    """What became of its checkpoints is in the message of the outcome."""
    notes: list[str] = []
    saver = Saver(job, notes)
    found = saver.latest()
    done, total = (found.step, int(found.tensors["sum"])) if found else (0, 0)
    for step in range(done + 1, 1 + max(STEPS)):
        total += _part(job, step)
        # after every step, however little time has passed
        saver._due = 0.0
        saver(lambda: Checkpoint(step, {"sum": torch.tensor(total)}, {}))  # noqa: B023
    assert total == sum(_part(job, step) for step in STEPS)
    outcome = work(job)
    return replace(outcome, message="; ".join([*notes, outcome.message]))


def _part(job: Job, step: int) -> int:
    return derived_seed(job.seed, "step", step) % 2**40
