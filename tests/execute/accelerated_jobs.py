"""Jobs on the processor, and on an accelerator that it pretends to be, told as JSON.

``python accelerated_jobs.py FOLDER`` runs a job that has a bit of everything, whole and in two
parts. ``python accelerated_jobs.py FOLDER PART PARTS`` runs a short one with every PARTS-th setting
of all layers, beginning with the PART-th, and tells those that did not end well.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

# a processor has faster forms that no accelerator has
os.environ["ARCHSEARCH_KERNELS"] = "plain"

# isort: off
from pretended import DEVICE, on_the_accelerator

# isort: on
import torch
from checkpointed import interrupted, long_job, resume

from archsearch.blocks.declared import BLOCKS
from archsearch.cells.declared import CELLS
from archsearch.depth.declared import DEPTH
from archsearch.execute import run_job as module
from archsearch.execute.job import Job
from archsearch.execute.run_job import run_job
from archsearch.sparsity.declared import SPARSITY
from archsearch.spec.architecture import Layer
from archsearch.spec.trial import Outcome, State
from archsearch.testing.networks import network_around, settings_of
from archsearch.train.draws import CPU

TRAINING = Layer.of(
    "adamw", steps=6, batch=8, evaluations=2, guide="gru", guide_steps=1, noise=0.01
)


def device_for(gpus: float) -> torch.device:
    return torch.device(*DEVICE) if gpus else CPU


def full_job(folder: Path, **changes: object) -> Job:
    job = long_job(folder, **changes)
    return replace(job, architecture=replace(job.architecture, training=TRAINING))


def told(outcome: Outcome) -> dict[str, object]:
    return {
        "state": str(outcome.state),
        "message": outcome.message,
        "metrics": dict(outcome.metrics),
        "curve": [[step, dict(metrics)] for step, metrics in outcome.curve],
        "timings": dict(outcome.timings),
    }


def whole_and_in_parts(folder: Path) -> dict[str, object]:
    there = run_job(full_job(folder / "there", checkpoints=None, gpus=0.5))
    lost = full_job(folder / "lost", gpus=0.5)
    interrupted(lost, after=4)
    again, message, steps = resume(lost)
    kept = Path(str(there.weights)).read_bytes()
    whole = there.state, there.metrics, there.curve, kept
    return {
        "there": told(there),
        "resumed": {"alike": again == whole, "message": message, "steps": steps},
        "confirmed": told(run_job(full_job(folder / "confirmed", protocol="confirm", gpus=1.0))),
    }


def ended_badly(folder: Path, part: int, parts: int) -> dict[str, str]:
    found, number = {}, 0
    for kind, layer in [*settings_of(*CELLS, *BLOCKS, *DEPTH, *SPARSITY)][part::parts]:
        architecture = replace(
            network_around(kind, layer),
            training=Layer.of("adamw", steps=3, batch=4, evaluations=1),
        )
        job = long_job(folder, checkpoints=None, keep=None, gpus=1.0)
        outcome = run_job(replace(job, architecture=architecture))
        number += outcome.state is State.COMPLETE
        # some are for other tasks
        if outcome.state not in (State.COMPLETE, State.INVALID):
            found[f"{kind} {layer}"] = f"{outcome.state}: {outcome.message}"
    return found | {"complete": number}


if __name__ == "__main__":
    module.device_for = device_for
    folder, *which = sys.argv[1:]
    if which:
        answer = on_the_accelerator(lambda: ended_badly(Path(folder), *map(int, which)))
    else:
        answer = {"here": told(run_job(full_job(Path(folder) / "here", checkpoints=None)))}
        answer |= on_the_accelerator(lambda: whole_and_in_parts(Path(folder)))
    print(json.dumps(answer))
