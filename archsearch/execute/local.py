"""Runs jobs on this machine in processes that stay warm from one job to the next."""

from __future__ import annotations

from collections.abc import Sequence

from archsearch.execute.apart import ApartBackend
from archsearch.execute.inline import RUN_JOB
from archsearch.execute.process import cores
from archsearch.spec.trial import Outcome, State


class LocalBackend(ApartBackend):
    """``workers`` processes, by default one for each core.

    Every job is held to its ``timeout`` (seconds of wall clock, TIMEOUT) and ``memory`` (bytes on
    top of what an idle worker has, OOM); a worker that dies gives CRASHED with the signal and its
    last words, and is replaced. ``run`` names the function, ``module:name``, that turns a job into
    an outcome. Workers take turns at ``devices``, accelerators by the names that CUDA knows them
    by; without any they see those that this process sees. ``orphan`` is for a driver that is not
    killed alone, but with its children: those who start the workers are then none of them, and end
    in good order when it is gone.
    """

    module = "archsearch.execute.supervisor"

    def __init__(
        self,
        workers: int | None = None,
        run: str = RUN_JOB,
        *,
        devices: Sequence[str] = (),
        orphan: bool = False,
    ) -> None:
        self._devices, self._orphan = devices, orphan
        super().__init__(workers or cores(), run)

    def arguments(self) -> list[str]:
        return [",".join(self._devices), *(["orphan"] if self._orphan else [])]

    def abandoned(self, code: int, message: str) -> Outcome:
        told = f"the process that starts workers died {message}"
        return Outcome(State.CRASHED, message=told, lost=True)
