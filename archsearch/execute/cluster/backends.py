"""The backends whose jobs run on a Ray cluster, as the driver sees them: without Ray.

Ray lives in a process of its own, so that its threads, its sockets and its way to die with its
cluster are not the driver's: a lost cluster is an exception here, and the study goes on elsewhere.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from archsearch.errors import ArchsearchError, InputError, TryAgainError
from archsearch.execute.apart import ApartBackend
from archsearch.execute.environment import worker_environment
from archsearch.execute.inline import RUN_JOB
from archsearch.execute.job import Job
from archsearch.spec.trial import Outcome, State

AUTO = "auto"


def lost(address: str) -> str:
    """What is said of a cluster that is gone."""
    return (
        f"the Ray cluster '{address}' is lost; the same command continues, there or with"
        " --backend local"
    )


class RayBackend(ApartBackend):
    """Warm actors on a Ray cluster, one trial each at a time.

    ``address`` is ``HOST:PORT``, ``auto`` for the cluster that this machine is in, or ``local`` to
    begin one here. ``workers`` is how many trials run at once, by default as many as the nodes
    have room for, whatever nodes come and go. ``needs`` are the ``cpus``, ``gpus`` and ``memory``
    of a usual trial, by which that room is counted, and the ``least_memory`` that one reserves.

    Raises InputError where Ray is not installed; :meth:`collect` raises it for a cluster that
    cannot be used, and TryAgainError for one that is lost.
    """

    module = "archsearch.execute.cluster.pool"

    def __init__(
        self,
        address: str = AUTO,
        workers: int | None = None,
        run: str = RUN_JOB,
        needs: Mapping[str, Any] | None = None,
    ) -> None:
        if find_spec("ray") is None:
            raise InputError(
                "this backend needs Ray, which is not installed; try 'pip install archsearch[ray]',"
                " or --backend local"
            )
        self.address = address
        self._asked, self._needs = workers, dict(needs or {})
        self._stopping = False
        super().__init__(workers or 1, run)

    def arguments(self) -> list[str]:
        return [json.dumps({"address": self.address, "most": self._asked, **self._needs})]

    def environment(self) -> Mapping[str, str]:
        rays = {name: value for name, value in os.environ.items() if name.startswith("RAY_")}
        # a cluster that begins here tells nobody of itself unless it is asked to
        return {**worker_environment(os.environ), "RAY_USAGE_STATS_ENABLED": "0", **rays}

    def measure(self, told: list[list[object]]) -> None:
        """Have gauges of the driver exported with those of the cluster, as far as it is there."""
        if not self._control.closed:
            self._control.send({"gauges": told})

    def stop(self, seconds: float) -> list[tuple[Job, Outcome]]:
        self._stopping = True
        return super().stop(seconds)

    def stillborn(self, message: str) -> ArchsearchError:
        return TryAgainError(f"the Ray cluster '{self.address}' cannot be joined {message}")

    def abandoned(self, code: int, message: str) -> Outcome:
        if self._stopping:
            return Outcome(State.CRASHED, message="stopped", lost=True)
        # it tells of its own faults before it ends; a driver without a cluster is ended by Ray
        raise TryAgainError(lost(self.address))


class TuneBackend(RayBackend):
    """The same promises kept by Ray Tune, with the parts that we give its users."""

    module = "archsearch.execute.cluster.tuned"
