"""The process between driver and workers: imports once, forks workers, holds them to their limits.

Started by :class:`archsearch.execute.local.LocalBackend` as ``python -m``. It has one thread, never
trains, and so stays able to act whatever a worker or the driver does. When the driver is gone, by
whatever death, its end of the socket closes and everything here ends.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pkgutil
import selectors
import signal
import socket
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import psutil

from archsearch.execute import process
from archsearch.execute.channel import Channel
from archsearch.execute.failure import described, one_line
from archsearch.execute.plain import outcome_to_plain
from archsearch.execute.worker import become_worker
from archsearch.spec.trial import Outcome, State

MEGABYTE = 2**20
LOG_BYTES = 1 << 16
LOG_LINES = 6
MEMORY_LOOK_SECONDS = 0.2


@dataclass
class Assignment:
    """A job in a worker's hands; times are on the monotonic clock."""

    id: int
    job: dict[str, Any]
    began: float
    cpu_before: float
    peak: int = 0
    verdict: State | None = None

    @property
    def deadline(self) -> float:
        timeout = self.job["timeout"]
        return float("inf") if timeout is None else self.began + timeout


@dataclass
class Worker:
    """A forked worker, what it printed last and what it works on."""

    pid: int
    channel: Channel
    log: int
    idle_memory: int
    said: deque[bytes] = field(default_factory=deque)
    assignment: Assignment | None = None


class Supervisor:
    def __init__(self, control: Channel, run: str, workers: int) -> None:
        self.control, self.most = control, workers
        self.run = pkgutil.resolve_name(run)
        self.workers: dict[int, Worker] = {}
        self.waiting: deque[dict[str, Any]] = deque()
        self.selector = selectors.DefaultSelector()
        self.deaths, notify = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(notify, warn_on_full_buffer=False)
        self.own = [control.fileno(), self.selector.fileno(), self.deaths, notify]
        self.selector.register(control, selectors.EVENT_READ, self.hear_driver)
        self.selector.register(self.deaths, selectors.EVENT_READ, self.reap)
        process.adopt_orphans()
        # what is imported by now is shared by all workers and never collected
        gc.freeze()

    def serve(self) -> None:
        """Until the driver is gone."""
        self.control.send({"ready": True})
        while not self.control.closed:
            for key, _ in self.selector.select(self.patience()):
                key.data()
            self.hold_to_limits()
            self.dispatch()
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self.control.unsent else 0)
            if not self.control.closed:
                self.selector.modify(self.control, wanted, self.hear_driver)
        for worker in list(self.workers.values()):
            process.kill_group(worker.pid)
        self.sweep(everyone=True)

    def patience(self) -> float | None:
        """Seconds until a limit has to be looked at; None when there is none."""
        busy = [w.assignment for w in self.workers.values() if w.assignment is not None]
        looks = [a.deadline - time.monotonic() for a in busy]
        looks += [MEMORY_LOOK_SECONDS for a in busy if a.job["memory"] is not None]
        soonest = min(looks, default=float("inf"))
        return None if soonest == float("inf") else max(soonest, 0.0)

    def hear_driver(self) -> None:
        self.waiting.extend(self.control.receive())

    def dispatch(self) -> None:
        """Give waiting jobs to idle workers; fork more while there may be more."""
        idle = [worker for worker in self.workers.values() if worker.assignment is None]
        while self.waiting and (idle or len(self.workers) < self.most):
            worker = idle.pop() if idle else self.fork()
            message = self.waiting.popleft()
            worker.said.clear()
            worker.assignment = Assignment(
                message["id"], message["job"], time.monotonic(), process.cpu_seconds(worker.pid)
            )
            worker.channel.send(message)

    def fork(self) -> Worker:
        ours, theirs = Channel.pair()
        log, their_log = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.set_blocking(their_log, True)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            # a worker that held these would keep the ends of others open
            for descriptor in self.own:
                os.close(descriptor)
            for other in self.workers.values():
                os.close(other.channel.fileno())
                os.close(other.log)
            ours.close()
            os.close(log)
            become_worker(self.run, theirs, their_log, parent)
        theirs.close()
        os.close(their_log)
        worker = Worker(pid, ours, log, process.private_memory(pid))
        self.workers[pid] = worker
        self.selector.register(ours, selectors.EVENT_READ, lambda: self.hear_worker(worker))
        self.selector.register(log, selectors.EVENT_READ, lambda: self.read_log(worker))
        return worker

    def hear_worker(self, worker: Worker) -> None:
        for message in worker.channel.receive():
            assignment = worker.assignment
            if assignment is None or message.get("id") != assignment.id:
                continue
            self.control.send(message)
            worker.assignment = None
            # what a crash or exhausted memory leaves behind must not reach the next job
            if message["outcome"]["state"] in (State.CRASHED, State.OOM):
                process.kill_group(worker.pid)
        if worker.channel.closed:
            self.selector.unregister(worker.channel)
            process.kill_group(worker.pid)

    def read_log(self, worker: Worker) -> None:
        """Keep the last of what the worker printed."""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(worker.log, LOG_BYTES):
                worker.said.append(chunk)
                while sum(map(len, worker.said)) > 2 * LOG_BYTES:
                    worker.said.popleft()
            self.selector.unregister(worker.log)

    def hold_to_limits(self) -> None:
        for worker in self.workers.values():
            assignment = worker.assignment
            if assignment is None or assignment.verdict is not None:
                continue
            memory = assignment.job["memory"]
            if memory is not None:
                used = process.private_memory(worker.pid) - worker.idle_memory
                assignment.peak = max(assignment.peak, used)
                if used > memory:
                    assignment.verdict = State.OOM
            if time.monotonic() > assignment.deadline:
                assignment.verdict = State.TIMEOUT
            if assignment.verdict is not None:
                process.kill_group(worker.pid)

    def reap(self) -> None:
        """Bury the dead; what a worker leaves running dies with it."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.deaths, LOG_BYTES)
        while True:
            try:
                dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if dead is None:
                return
            worker = self.workers.get(dead.si_pid)
            if worker is not None:
                # unburied, so that its number cannot be another's yet
                process.kill_group(worker.pid)
            _, status, usage = os.wait4(dead.si_pid, 0)
            if worker is not None:
                self.forget(worker, status, usage.ru_utime + usage.ru_stime)

    def forget(self, worker: Worker, status: int, cpu: float) -> None:
        if not worker.channel.closed:
            self.hear_worker(worker)
        self.read_log_to_end(worker)
        assignment = worker.assignment
        if assignment is not None:
            outcome = outcome_of_death(assignment, status, cpu, last_words(worker.said))
            self.control.send({"id": assignment.id, "outcome": outcome_to_plain(outcome)})
        del self.workers[worker.pid]
        worker.channel.close()
        os.close(worker.log)
        self.sweep()

    def sweep(self, everyone: bool = False) -> None:
        """Kill processes that left their worker's group and were orphaned."""
        while True:
            strays = [
                child
                for child in psutil.Process().children()
                if (everyone or child.pid not in self.workers)
                and child.status() != psutil.STATUS_ZOMBIE
            ]
            if not strays:
                return
            for stray in strays:
                stray.kill()
