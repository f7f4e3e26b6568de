"""A training in legs from one look at the data to the next, each begun where the last was put down.

The legs together compute what one run does, to the last bit, as long as nothing is changed between
them; what they leave to each other is a checkpoint, which may also be another training's.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from archsearch.execute.checkpoints import (
    Generation,
    Manifest,
    generations,
    read_manifest,
    write_manifest,
)
from archsearch.execute.cluster.placed import folder
from archsearch.execute.job import Job
from archsearch.execute.plain import job_from_plain, job_to_plain, outcome_to_plain
from archsearch.execute.saver import PAUSED
from archsearch.spec.architecture import Layer
from archsearch.spec.trial import Outcome

JOB = "job.json"
OUTCOME = "archsearch_outcome"
COSTS = ("seconds", "cpu_seconds")


class Legs:
    """Of one job, with the options of its training that a scheduler wants instead."""

    def __init__(self, job: Job, training: Mapping[str, Any]) -> None:
        self._place = folder() / "legs" / uuid.uuid4().hex
        self._place.mkdir(parents=True)
        own = dict(job.architecture.training.options)
        self._changed = {key: value for key, value in training.items() if own.get(key) != value}
        layer = Layer(job.architecture.training.name, tuple({**own, **self._changed}.items()))
        architecture = replace(job.architecture, training=layer)
        self._job = replace(
            job, architecture=architecture, checkpoints=str(self._place), keep=None, limits=()
        )
        self._reached = 0
        self._spent = dict.fromkeys(COSTS, 0.0)

    @property
    def next(self) -> Job:
        """The job up to the next look."""
        return replace(self._job, pause=self._reached + 1)

    def told(self, outcome: Outcome) -> dict[str, Any]:
        """The result of a leg, for Tune; with it goes the outcome if the trial ends there."""
        timings = dict(outcome.timings)
        for cost in COSTS:
            self._spent[cost] += timings.get(cost, 0.0)
        paused = outcome.message.startswith(PAUSED)
        message = "" if paused else _without_legs(outcome.message)
        metrics = dict(outcome.metrics)
        if outcome.curve:
            self._reached, latest = outcome.curve[-1]
            metrics = {**dict(latest), **metrics}
        if paused:
            message = f"stopped by the scheduler after step {self._reached}"
        if self._changed:
            changed = ", ".join(f"{key} {value}" for key, value in self._changed.items())
            message = f"{message}; trained with {changed}".lstrip("; ")
        so_far = replace(outcome, message=message, timings=tuple((timings | self._spent).items()))
        text = json.dumps(outcome_to_plain(so_far))
        return {"step": self._reached, **metrics, OUTCOME: text, "done": not paused}

    def save(self, place: Path) -> None:
        """Put the last checkpoint, and whose it is, into a folder."""
        (place / JOB).write_text(json.dumps(job_to_plain(self._job)))
        own = self._place / self._job.key
        for found in generations(own)[:1]:
            shutil.copy(found.tensors(own), place)
            shutil.copy(found.manifest(own), place)

    def load(self, place: Path) -> None:
        """Go on from what was put into a folder, be it by another job.

        The learning rate is then this job's own.
        """
        giver = job_from_plain(json.loads((place / JOB).read_text()))
        for found in generations(place)[:1]:
            manifest = read_manifest(place, found)
            plain = dict(manifest.plain)
            if giver.architecture.training != self._job.architecture.training:
                plain["highest_rate"] = None
            here = self._place / self._job.key
            shutil.rmtree(here, ignore_errors=True)
            here.mkdir()
            own = Generation(self._job.epoch, found.step)
            shutil.copy(found.tensors(place), own.tensors(here))
            taken = (manifest.size, manifest.sha256, manifest.made, plain)
            write_manifest(here, Manifest(self._job.key, own, *taken))
            self._reached = found.step

    def forget(self) -> None:
        shutil.rmtree(self._place, ignore_errors=True)


def _without_legs(message: str) -> str:
    """The message without the notes that one leg began where another ended."""
    parts = message.split("; ")
    return "; ".join(part for part in parts if not part.startswith("continued after step"))
