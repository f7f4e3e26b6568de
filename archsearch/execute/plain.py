"""Jobs and outcomes as JSON data, so that no process ever unpickles what another one wrote."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from archsearch.execute.job import Job
from archsearch.spec.architecture import architecture_from_plain, layer_from_plain, to_plain
from archsearch.spec.settings import Objective, TaskSpec
from archsearch.spec.trial import Limit, Metrics, Outcome, State

_OUTCOME = tuple(field.name for field in fields(Outcome))


def job_to_plain(job: Job) -> dict[str, Any]:
    return {
        "trial": job.trial,
        "title": job.title,
        "task": job.task.to_plain(),
        "data": job.data,
        "architecture": to_plain(job.architecture),
        "seed": job.seed,
        "protocol": job.protocol,
        "objectives": [[o.metric, o.direction] for o in job.objectives],
        "limits": [[limit.step, [list(point) for point in limit.front]] for limit in job.limits],
        "timeout": job.timeout,
        "memory": job.memory,
        "keep": job.keep,
        "checkpoints": job.checkpoints,
        "checkpoint_seconds": job.checkpoint_seconds,
        "epoch": job.epoch,
        "plugins": [list(pair) for pair in job.plugins],
        "cpus": job.cpus,
        "gpus": job.gpus,
        "log": job.log,
        "pause": job.pause,
        "steered": job.steered,
        "along_depth": job.along_depth,
    }


def job_from_plain(plain: dict[str, Any]) -> Job:
    """The inverse of :func:`job_to_plain`."""
    task = plain["task"]
    return Job(
        **plain
        | {
            "task": TaskSpec(task["label"], layer_from_plain(task["layer"])),
            "architecture": architecture_from_plain(plain["architecture"]),
            "objectives": tuple(Objective(*pair) for pair in plain["objectives"]),
            "limits": tuple(
                Limit(step, tuple(tuple(point) for point in front))
                for step, front in plain["limits"]
            ),
            "plugins": tuple((name, sha256) for name, sha256 in plain["plugins"]),
        }
    )


def outcome_to_plain(outcome: Outcome) -> dict[str, Any]:
    # dataclasses.asdict would copy every number of the curve
    return {name: getattr(outcome, name) for name in _OUTCOME}


def outcome_from_plain(plain: dict[str, Any]) -> Outcome:
    """The inverse of :func:`outcome_to_plain`; raises KeyError, TypeError or ValueError."""
    return Outcome(
        state=State(plain["state"]),
        metrics=_metrics(plain["metrics"]),
        curve=tuple((int(step), _metrics(metrics)) for step, metrics in plain["curve"]),
        message=str(plain["message"]),
        timings=_metrics(plain["timings"]),
        weights=None if plain["weights"] is None else str(plain["weights"]),
        lost=bool(plain["lost"]),
    )


def _metrics(plain: list[list[Any]]) -> Metrics:
    return tuple((str(name), float(value)) for name, value in plain)
