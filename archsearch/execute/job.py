"""A job: everything a worker needs to train one architecture, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from archsearch.spec.architecture import Architecture, to_plain
from archsearch.spec.settings import Objective, TaskSpec, fingerprint
from archsearch.spec.trial import Limit


@dataclass(frozen=True)
class Job:
    """Train ``architecture`` on ``task`` with ``seed`` and say what came of it.

    ``protocol`` ``search`` trains on train and judges on validation; ``confirm`` trains on train
    and validation and judges, once, on test. ``data`` is the fingerprint that the worker's copy of
    the data must have. ``keep`` names the file that receives the trained parameters.
    ``timeout`` is in seconds, ``memory`` in bytes.

    ``checkpoints`` names the folder in which the training is put down every ``checkpoint_seconds``
    and taken up again if it was lost; ``epoch`` is the number of the attempt. ``plugins`` are the
    distributions that provide layers of it, each with the SHA-256 of its code.

    ``cpus`` and ``gpus`` are what it occupies; with any share of ``gpus`` it trains on one. ``log``
    names the file that receives what it printed, if it printed anything. ``pause`` is a step after
    whose look at the data the training is put down, and its outcome is that of a stopped one.
    ``steered`` names who else may stop or change it while it runs, so that the same job elsewhere
    is another computation. With ``along_depth`` the area under the curve along depth is measured,
    too.
    """

    trial: int
    title: str
    task: TaskSpec
    data: str
    architecture: Architecture
    seed: int
    protocol: Literal["search", "confirm"] = "search"
    objectives: tuple[Objective, ...] = ()
    limits: tuple[Limit, ...] = ()
    timeout: float | None = None
    memory: int | None = None
    keep: str | None = None
    checkpoints: str | None = None
    checkpoint_seconds: float = 30.0
    epoch: int = 1
    plugins: tuple[tuple[str, str], ...] = ()
    cpus: float = 1.0
    gpus: float = 0.0
    log: str | None = None
    pause: int | None = None
    steered: str | None = None
    along_depth: bool = False

    @cached_property
    def key(self) -> str:
        """Names the computation: jobs with equal keys have equal outcomes."""
        # without plugins nothing is said of them, so that keys stored before they were still hold
        plugins = {"plugins": [list(pair) for pair in self.plugins]} if self.plugins else {}
        steered = {"steered": self.steered} if self.steered else {}
        along = {"along_depth": True} if self.along_depth else {}
        accelerated = {"accelerated": True} if self.gpus else {}
        return fingerprint(
            {
                "task": to_plain(self.task.layer),
                "data": self.data,
                "architecture": self.architecture.digest,
                "seed": self.seed,
                "protocol": self.protocol,
                "objectives": [[o.metric, o.direction] for o in self.objectives],
                "limits": [[limit.step, limit.front] for limit in self.limits],
                **plugins,
                **steered,
                **along,
                **accelerated,
            }
        )
