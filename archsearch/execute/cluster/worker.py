"""One place for one trial at a time on a node: what a Ray actor is made of.

The training is in a process below it, held to its limits by the supervisor that the local backend
uses, so that a job that hangs, starves or dies takes neither the actor nor its node with it.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import ray

from archsearch.execute.cluster.placed import Fetch, foreign_code, place
from archsearch.execute.failure import unkept
from archsearch.execute.files import written_whole
from archsearch.execute.job import Job
from archsearch.execute.local import LocalBackend
from archsearch.execute.plain import job_from_plain, outcome_from_plain, outcome_to_plain
from archsearch.spec.trial import Outcome, State

# a stop is seen no later than this
LOOK_SECONDS = 0.25
CONTROL = "control"
_DISTRIBUTIONS = ("archsearch", "torch", "numpy", "numba")
_LENGTHS = struct.Struct(">III")


class TrialWorker:
    """Runs jobs one after the other; ``run`` names the function that turns one into an outcome."""

    def __init__(self, name: str, run: str) -> None:
        self._name = name
        # Ray kills the children of an actor that it kills, but not theirs
        self._backend = LocalBackend(1, run, orphan=True)
        self._stop_at: float | None = None
        gc.freeze()

    def __repr__(self) -> str:
        return f"archsearch worker {self._name}"

    def ready(self) -> dict[str, Any]:
        """Where it is, and with which software."""
        place = ray.get_runtime_context().get_node_id()
        return {"node": node(), "id": place, "versions": versions(), "blind": blind()}

    def run(self, text: bytes, files: Mapping[str, Any]) -> bytes:
        """A job as JSON to its answer, see :func:`packed`; ``files`` are references by SHA-256."""
        return self.answer(text, lambda sha256: ray.get(files[sha256]))

    def answer(self, text: bytes, fetch: Fetch) -> bytes:
        told = json.loads(text)
        job = job_from_plain(told["job"])
        if (fault := foreign_code(job)) is not None:
            refused = Outcome(State.INVALID, message=f"{fault} (node {node()})")
            return packed({"outcome": outcome_to_plain(refused)}, b"", b"")
        placed = place(job, told["data"], fetch)
        final = False
        try:
            outcome = self._outcome(placed.job)
            final = outcome.state.final and not outcome.lost and job.pause is None
            kept = placed.take("keep") if outcome.weights is not None else b""
            answer = {
                "outcome": outcome_to_plain(replace(outcome, weights=job.keep if kept else None)),
                "place": f"node {node()}, process {os.getpid()}, attempt {job.epoch}",
            }
            return packed(answer, placed.take("log"), kept)
        finally:
            placed.forget(final)

    @ray.method(concurrency_group=CONTROL)
    def stop(self, seconds: float) -> None:
        """Let what runs end or write a checkpoint within so many seconds."""
        self._stop_at = time.monotonic() + seconds

    def close(self) -> None:
        self._backend.close()

    def _outcome(self, job: Job) -> Outcome:
        self._backend.submit(job)
        while True:
            found = self._backend.collect(LOOK_SECONDS)
            if not found and self._stop_at is not None:
                found = self._backend.stop(max(self._stop_at - time.monotonic(), 0.0))
                found = found or [(job, Outcome(State.CRASHED, message="stopped", lost=True))]
            if found:
                return found[0][1]


@cache
def node() -> str:
    return socket.gethostname()


def blind() -> bool:
    """Whether Ray gave us accelerators of which torch sees none."""
    if not ray.get_gpu_ids():
        return False
    # torch takes seconds, and an actor without an accelerator needs none
    from archsearch.execute.device import names

    return not names()


@cache
def versions() -> dict[str, str]:
    """What has to be the same everywhere for the same trials to have the same outcomes."""
    found = {"python": platform.python_version()}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "missing"
    return found


def packed(told: Mapping[str, Any], log: bytes, kept: bytes) -> bytes:
    """An answer as bytes, so that the driver unpickles nothing: what is told, printed and kept."""
    text = json.dumps(told).encode()
    return _LENGTHS.pack(len(text), len(log), len(kept)) + text + log + kept


def unpacked(answer: bytes) -> tuple[Outcome, str, bytes, bytes]:
    """The outcome, where it came from, what the job printed, and its weights."""
    text, log, _ = _LENGTHS.unpack_from(answer)
    first = _LENGTHS.size + text
    told = json.loads(answer[_LENGTHS.size : first])
    outcome = outcome_from_plain(told["outcome"])
    return outcome, told.get("place", ""), answer[first : first + log], answer[first + log :]


def write_down(answer: bytes, job: Job) -> Outcome:
    """The outcome of an answer, its weights and what it printed where the driver wants them."""
    outcome, place, log, kept = unpacked(answer)
    if outcome.weights is not None:
        try:
            _write(outcome.weights, kept)
        except OSError as error:
            outcome = unkept(outcome.weights, error)
    if job.log is not None and place:
        # a full disk is no reason to lose an outcome
        with suppress(OSError):
            _write(job.log, f"{place}\n".encode() + log)
    return outcome


def _write(path: str, data: bytes) -> None:
    with written_whole(Path(path)) as stream:
        stream.write(data)
