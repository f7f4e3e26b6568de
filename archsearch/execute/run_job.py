"""Runs one job from data to outcome; the same function inline, in a process and on a cluster."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from archsearch.build import build
from archsearch.errors import InputError
from archsearch.execute.device import device_for, repeatable
from archsearch.execute.failure import failed, one_line, unkept
from archsearch.execute.guide import guided
from archsearch.execute.job import Job
from archsearch.execute.saver import Paused, Saver
from archsearch.execute.weights import keep_weights
from archsearch.kernels.ready import make_ready
from archsearch.plugins import load_catalog
from archsearch.spec.architecture import NONE, Architecture
from archsearch.spec.catalog import Catalog
from archsearch.spec.importing import unchanged
from archsearch.spec.trial import Curve, Limit, Metrics, Outcome, State
from archsearch.tasks.open import open_task
from archsearch.tasks.task import Task
from archsearch.train.along_depth import judge_along_depth
from archsearch.train.checkpoint import Mismatch
from archsearch.train.draws import CPU, undisturbed
from archsearch.train.fit import Diverged, Judge, Objective, fit
from archsearch.train.judge import judge
from archsearch.train.kept import kept
from archsearch.train.measure import compacted_latencies, measure
from archsearch.train.savings import TOLD
from archsearch.train.supervision import as_trained
from archsearch.train.tensors import device_of

# once for all workers that are forked from here, and on no job's time and memory
make_ready()


class Watch:
    """Follows a training: keeps its curve and compares it with the limits of the job."""

    def __init__(self, job: Job) -> None:
        self._objectives = job.objectives
        self._limits = list(job.limits)
        self.constant: dict[str, float] = {}
        self.latest: dict[str, float] = {}
        self.curve: Curve = ()
        self.stopped_at: int | None = None

    def __call__(self, step: int, metrics: Mapping[str, float]) -> bool:
        self.curve += ((step, plain(metrics)),)
        self.latest = dict(metrics)
        due = [limit for limit in self._limits if limit.step <= step]
        self._limits = [limit for limit in self._limits if limit.step > step]
        if any(self._worse_than(limit) for limit in due):
            self.stopped_at = step
        return self.stopped_at is None

    def _worse_than(self, limit: Limit) -> bool:
        known = self.constant | self.latest
        for objective in self._objectives:
            if objective.metric not in known:
                raise InputError(
                    f"objective '{objective.metric}': expected one of {', '.join(known)}"
                )
        return limit.stops(tuple(o.loss(known[o.metric]) for o in self._objectives))


def run_job(
    job: Job,
    objective: Objective | None = None,
    begin: Callable[[nn.Module], object] | None = None,
) -> Outcome:
    """Train and judge what the job describes; raises nothing that a trial can be at fault for.

    ``begin`` may change the drawn weights before the first step; a job is then told apart by more
    than what it describes.

    The same job gives the same metrics, curve and weights to the last bit on the same machine and
    versions, whatever ran before in this process and from whichever checkpoint it went on.
    """
    began, cpu_began = time.perf_counter(), time.process_time()
    watch = Watch(job)
    notes: list[str] = []
    try:
        device = device_for(job.gpus)
        with settled(job.seed, device):
            outcome = _train(job, watch, notes, device, objective, begin)
    except Diverged as error:
        outcome = Outcome(State.DIVERGED, message=one_line(str(error)))
    except Paused as pause:
        outcome = Outcome(State.STOPPED, message=str(pause))
    except (Exception, SystemExit) as error:
        outcome = failed(error)
    spent = {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - cpu_began,
    }
    if job.gpus:
        spent["gpu_seconds"] = job.gpus * spent["seconds"]
    message = one_line("; ".join(filter(None, (outcome.message, *notes))))
    timings = outcome.timings + plain(spent)
    return replace(outcome, curve=watch.curve, message=message, timings=timings)


def _train(
    job: Job,
    watch: Watch,
    notes: list[str],
    device: torch.device,
    objective: Objective | None,
    begin: Callable[[nn.Module], object] | None,
) -> Outcome:
    task = open_task(job.task, job.protocol)
    if task.fingerprint != job.data:
        raise InputError(
            f"the data of task '{job.task.label}' is not what the study was begun with"
            f" (fingerprint {task.fingerprint} here, {job.data} there);"
            " give every worker the same files"
        )
    catalog = installed(tuple(name for name, _ in job.plugins))
    architecture = catalog.complete_architecture(job.architecture)
    model = build(architecture, catalog, task.signature, job.seed)
    if begin is not None:
        begin(model)
    training: dict[str, Any] = dict(architecture.training.options)
    with as_trained(model, architecture.training):
        cost = measure(model, task, training["batch"])
    watch.constant = cost.figures | cost.timings
    # drawn and measured on the processor, where answers are exported for
    model.to(device)
    objective = guided(objective, architecture, catalog, task, job.seed, device)
    finished = _fit(job, model, task, architecture, watch, notes, objective)
    timings = cost.timings
    figures = cost.figures | {n: watch.latest[n] for n in TOLD if n in watch.latest}
    if not finished:
        message = f"behind earlier trials at step {watch.stopped_at}"
        return Outcome(State.STOPPED, plain(figures), message=message, timings=plain(timings))
    # the last look at the validation split was at the final weights
    confirming = job.protocol == "confirm"
    judged = _judge(job)(model, task, "test") if confirming else dict(watch.latest)
    model.to("cpu")
    if architecture.sparsity != NONE:
        timings = timings | compacted_latencies(model, task)
    judged.pop("train_loss", None)
    judged |= figures
    if confirming:
        judged |= kept(model, architecture.sparsity)
    for name, value in judged.items():
        if not np.isfinite(value):
            raise Diverged(training["steps"], f"{name} is {value}", np.nan)
    if job.keep is not None:
        try:
            keep_weights(model, Path(job.keep))
        except OSError as error:
            return unkept(job.keep, error)
    return Outcome(State.COMPLETE, plain(judged), timings=plain(timings), weights=job.keep)


def _fit(
    job: Job,
    model: nn.Module,
    task: Task,
    architecture: Architecture,
    watch: Watch,
    notes: list[str],
    objective: Objective | None,
) -> bool:
    """Train, from the last checkpoint where there is one; what is to be said of it is noted."""
    train = partial(
        fit,
        model,
        task,
        architecture.training,
        architecture.sparsity,
        seed=job.seed,
        report=watch,
        # what was validation is trained on when an answer is confirmed
        split=None if job.protocol == "confirm" else "validation",
        objective=objective,
        judge=_judge(job),
    )
    if job.checkpoints is None:
        return train()
    last = dict(architecture.training.options)["steps"]
    with Saver(job, notes, device_of(model)) as saver:

        def report(step: int, metrics: Mapping[str, float]) -> bool:
            going_on = watch(step, metrics)
            if job.pause is not None and job.pause <= step < last:
                saver.pause(step)
            return going_on

        try:
            return train(resume=saver.latest(), save=saver, report=report)
        except Mismatch as error:
            notes.append(f"begun anew, since {error}")
            return train(save=saver, report=report)


def _judge(job: Job) -> Judge:
    return judge_along_depth if job.along_depth else judge


@cache
def installed(providers: tuple[str, ...] = ()) -> Catalog:
    """The catalog, read once per process: what is installed does not change under a study.

    A name that several distributions provide is that of the one among ``providers``.
    """
    return load_catalog(named=lambda kind, name, source: "." not in name and source in providers)


@contextmanager
def settled(seed: int, device: torch.device = CPU) -> Iterator[None]:
    """The one state of the process in which every job runs; afterwards it is as it was."""
    with unchanged():
        torch.set_num_threads(1)
        # numbers below 1e-38 are zero: on the CPU they would cost a hundred times as much
        torch.set_flush_denormal(True)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        with undisturbed(device, seed), repeatable(device):
            yield


def plain(metrics: Mapping[str, float]) -> Metrics:
    return tuple((name, float(value)) for name, value in metrics.items())
