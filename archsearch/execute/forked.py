"""A worker as its parent sees it: what it works on, what it printed, how it is ended."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archsearch.execute import process
from archsearch.execute.cgroup import MemoryGroup
from archsearch.execute.channel import Channel
from archsearch.execute.death import outcome_of_death
from archsearch.execute.plain import outcome_from_plain
from archsearch.spec.trial import Outcome, State

LOG_BYTES = 1 << 16


@dataclass
class Assignment:
    """A job in a worker's hands, begun at a time of the monotonic clock.

    ``peak`` is the most memory it was seen with, ``verdict`` why the worker was killed under it.
    """

    id: int
    timeout: float | None
    memory: int | None
    began: float
    cpu_before: float
    log: str | None = None
    gpus: float = 0.0
    peak: int = 0
    verdict: State | None = None

    @property
    def seconds_left(self) -> float:
        if self.timeout is None:
            return math.inf
        return self.began + self.timeout - time.monotonic()


@dataclass
class Forked:
    """``log`` is the reading end of what the worker prints, ``said`` the last of it.

    ``place`` is its number, the smallest that no other living worker has.
    """

    pid: int
    channel: Channel
    log: int
    idle_memory: int
    group: MemoryGroup | None = None
    place: int = 0
    said: bytearray = field(default_factory=bytearray)
    assignment: Assignment | None = None
    doomed: bool = False

    @property
    def idle(self) -> bool:
        return self.assignment is None and not self.doomed

    def assign(self, message: dict[str, Any]) -> None:
        """Hand over a job: ``{"id": ..., "job": ...}``."""
        self.said.clear()
        self.assignment = Assignment(
            id=message["id"],
            timeout=message["job"]["timeout"],
            memory=message["job"]["memory"],
            began=time.monotonic(),
            cpu_before=process.cpu_seconds(self.pid),
            log=message["job"]["log"],
            gpus=message["job"]["gpus"],
        )
        if self.group is not None:
            self.group.limit(self.assignment.memory)
        self.channel.send(message)

    def answers(self) -> Iterator[dict[str, Any]]:
        """The outcomes that have arrived; a worker that says anything else is killed."""
        for message in self.channel.receive():
            try:
                state = outcome_from_plain(message["outcome"]).state
                expected = self.assignment is not None and message["id"] == self.assignment.id
            except (KeyError, TypeError, ValueError):
                expected = False
            if not expected:
                self.kill()
                return
            self.keep_log()
            self.assignment = None
            # what a crash or exhausted memory leaves behind must not reach the next job
            if state in (State.CRASHED, State.OOM):
                self.kill()
            yield message
        if self.channel.closed:
            self.kill()

    def read_log(self) -> bool:
        """Keep the end of what was printed, a piece at a time; False when no more can come."""
        try:
            chunk = os.read(self.log, LOG_BYTES)
        except BlockingIOError:
            return True
        self.said += chunk
        del self.said[:-LOG_BYTES]
        return bool(chunk)

    def keep_log(self) -> None:
        """Write the end of what the job printed to the file it names, if it printed anything."""
        self.read_log()
        if self.assignment is None or self.assignment.log is None or not self.said:
            return
        path = Path(self.assignment.log)
        # a full disk is no reason to lose an outcome
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.said)

    def look_at_memory(self) -> None:
        """Kill the worker when it and its children have more than the job may."""
        job = self.assignment
        if job is None or job.memory is None or self.doomed:
            return
        used = process.private_memory(self.pid, children=True) - self.idle_memory
        job.peak = max(job.peak, used)
        if used > job.memory or self.overrun:
            job.verdict = State.OOM
            self.kill()

    @property
    def overrun(self) -> bool:
        """Whether the kernel has killed for memory in the worker's group."""
        return self.group is not None and self.group.overrun

    def look_at_clock(self) -> None:
        """Kill the worker when its job takes longer than it may."""
        if self.assignment is not None and not self.doomed and self.assignment.seconds_left <= 0:
            self.assignment.verdict = State.TIMEOUT
            self.kill()

    def ask_to_leave(self) -> None:
        """Let a busy worker write a checkpoint before it dies of this; end an idle one."""
        if self.idle:
            self.kill()
        elif not self.doomed:
            # dead or alive, its number is its own until we have buried it
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End the worker and its process group; once, for later its number may be another's."""
        if not self.doomed:
            self.doomed = True
            process.kill_group(self.pid)

    def obituary(self, job: Assignment, status: int, cpu_seconds: float) -> Outcome:
        """The outcome of the job under which it died with ``status``, as from ``os.wait``."""
        if job.verdict is None and job.memory is not None and self.overrun:
            job.verdict = State.OOM
        if job.verdict is State.OOM and job.memory is not None:
            # what the kernel saw of it we may not have
            job.peak = max(job.peak, job.memory)
        return outcome_of_death(
            job.verdict,
            status,
            bytes(self.said),
            limit=job.timeout if job.verdict is State.TIMEOUT else job.memory,
            seconds=time.monotonic() - job.began,
            cpu_seconds=cpu_seconds - job.cpu_before,
            gpus=job.gpus,
            peak=job.peak,
        )
