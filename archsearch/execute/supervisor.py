"""The process between driver and workers: imports once, forks workers, holds them to their limits.

Started by :class:`archsearch.execute.local.LocalBackend` as ``python -m``. It has one thread, never
trains, and so stays able to act whatever a worker or the driver does. When the driver is gone, by
whatever death, its end of the socket closes and everything here ends.
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import pkgutil
import selectors
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

import psutil

from archsearch.execute import process
from archsearch.execute.cgroup import open_group
from archsearch.execute.channel import Channel
from archsearch.execute.failure import described, one_line
from archsearch.execute.forked import Forked
from archsearch.execute.job import Job
from archsearch.execute.plain import outcome_to_plain
from archsearch.execute.worker import become_worker
from archsearch.failpoints import failpoint
from archsearch.spec.trial import Outcome

LOOK_SECONDS = 0.5
# woken so much later than we asked to be, all of us were stopped, or the machine had no time for us
LATE_SECONDS = 0.5
GENERATIONS = 8
ORPHAN = "orphan"


class Supervisor:
    """``most`` workers at once, forked when first needed, each reused until a job harms it."""

    def __init__(
        self,
        control: Channel,
        run: Callable[[Job], Outcome],
        most: int,
        devices: Sequence[str] = (),
    ) -> None:
        self.control, self.run, self.most, self.devices = control, run, most, devices
        self.workers: dict[int, Forked] = {}
        self.waiting: deque[dict[str, Any]] = deque()
        self.memory_looked = 0.0
        self.stops_at = math.inf
        self.selector = selectors.DefaultSelector()
        self.deaths, notify = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # whoever ends all processes at once leaves the workers time, and us with them
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.set_wakeup_fd(notify, warn_on_full_buffer=False)
        self.own = [control.fileno(), self.selector.fileno(), self.deaths, notify]
        self.selector.register(control, selectors.EVENT_READ, self.hear_driver)
        self.selector.register(self.deaths, selectors.EVENT_READ, self.hear_death)
        process.adopt_orphans()
        # what is imported by now is shared by all workers and never collected
        gc.freeze()

    def supervise(self) -> None:
        """Until the driver is gone or has stopped us; then nothing is left running."""
        while not self.control.closed and not self.stopped:
            patience, began = self.patience(), time.monotonic()
            events = self.selector.select(patience)
            self.forgive(time.monotonic() - began, patience)
            for key, _ in events:
                key.data()
            # after the events, so that none is for a worker that is gone
            self.reap()
            self.hold_to_limits()
            self.dispatch()
            for channel in (self.control, *(worker.channel for worker in self.workers.values())):
                self.watch_for_room(channel)
        self.control.flush()
        for worker in self.workers.values():
            worker.kill()
        # its orphans are ours only once it is dead
        for pid in self.workers:
            os.waitpid(pid, 0)
        self.sweep(spared=frozenset())
        for worker in self.workers.values():
            if worker.group is not None:
                worker.group.remove()

    @property
    def stopped(self) -> bool:
        """Whether we were told to stop and no worker needs its time any longer."""
        busy = any(worker.assignment for worker in self.workers.values())
        return self.stops_at < math.inf and (not busy or time.monotonic() >= self.stops_at)

    def patience(self) -> float | None:
        """Seconds until a limit has to be looked at; None when there is none."""
        busy = [w.assignment for w in self.workers.values() if w.assignment and not w.doomed]
        bounded = [a for a in busy if a.timeout is not None or a.memory is not None]
        looks = [min(assignment.seconds_left, LOOK_SECONDS) for assignment in bounded]
        soonest = min([*looks, self.stops_at - time.monotonic()])
        return None if soonest == math.inf else max(soonest, 0.0)

    def forgive(self, waited: float, patience: float | None) -> None:
        """Count no time against jobs in which we were stopped, as they were."""
        late = 0.0 if patience is None else waited - patience
        for worker in self.workers.values():
            if worker.assignment is not None and late > LATE_SECONDS:
                worker.assignment.began += late

    def hear_driver(self) -> None:
        """Take jobs, or the word to stop within so many seconds: ``{"stop": seconds}``."""
        for message in self.control.receive():
            if "stop" not in message:
                self.waiting.append(message)
                continue
            self.stops_at = time.monotonic() + message["stop"]
            for worker in self.workers.values():
                worker.ask_to_leave()

    def hear_death(self) -> None:
        os.read(self.deaths, 1 << 10)

    def hear_worker(self, worker: Forked) -> None:
        for answer in worker.answers():
            self.control.send(answer)
        if worker.channel.closed:
            self.unwatch(worker.channel)

    def hear_log(self, worker: Forked) -> None:
        if not worker.read_log():
            self.unwatch(worker.log)

    def dispatch(self) -> None:
        """Give waiting jobs to idle workers; fork more while there may be more."""
        if self.stops_at < math.inf:
            return
        idle = [worker for worker in self.workers.values() if worker.idle]
        while self.waiting and (idle or len(self.workers) < self.most):
            worker = idle.pop() if idle else self.fork()
            failpoint("supervisor.assign")
            worker.assign(self.waiting.popleft())

    def fork(self) -> Forked:
        ours, theirs = Channel.pair()
        log, their_log = os.pipe()
        parent = os.getpid()
        taken = {worker.place for worker in self.workers.values()}
        place = next(number for number in count() if number not in taken)
        device = self.devices[place % len(self.devices)] if self.devices else None
        pid = os.fork()
        if pid == 0:
            # a worker that kept these would hold open what must close when others die
            for other in self.workers.values():
                self.own += [other.channel.fileno(), other.log]
            for descriptor in (*self.own, ours.fileno(), log):
                os.close(descriptor)
            become_worker(self.run, theirs, their_log, parent, device)
        theirs.close()
        os.close(their_log)
        os.set_blocking(log, False)
        idle = process.private_memory(pid)
        worker = self.workers[pid] = Forked(pid, ours, log, idle, open_group(pid), place)
        self.selector.register(ours, selectors.EVENT_READ, lambda: self.hear_worker(worker))
        self.selector.register(log, selectors.EVENT_READ, lambda: self.hear_log(worker))
        return worker

    def hold_to_limits(self) -> None:
        for worker in self.workers.values():
            worker.look_at_clock()
        if time.monotonic() - self.memory_looked >= LOOK_SECONDS:
            self.memory_looked = time.monotonic()
            for worker in self.workers.values():
                worker.look_at_memory()

    def reap(self) -> None:
        """Bury the dead; what a worker left running dies with it."""
        with contextlib.suppress(ChildProcessError):
            # only looked at, so that no other process can get its number before its group is dead
            while dead := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                worker = self.workers.get(dead.si_pid)
                if worker is not None:
                    worker.kill()
                _, status, usage = os.wait4(dead.si_pid, 0)
                if worker is not None:
                    self.bury(worker, status, usage.ru_utime + usage.ru_stime)

    def bury(self, worker: Forked, status: int, cpu_seconds: float) -> None:
        """Tell what became of its job, and forget the worker."""
        if not worker.channel.closed:
            self.hear_worker(worker)
        worker.keep_log()
        job = worker.assignment
        if job is not None:
            outcome = worker.obituary(job, status, cpu_seconds)
            self.control.send({"id": job.id, "outcome": outcome_to_plain(outcome)})
        self.unwatch(worker.channel)
        self.unwatch(worker.log)
        worker.channel.close()
        os.close(worker.log)
        del self.workers[worker.pid]
        self.sweep(spared=frozenset(self.workers))
        if worker.group is not None:
            worker.group.remove()

    def sweep(self, spared: frozenset[int]) -> None:
        """Kill our children but the spared: orphans that had left their worker's group."""
        for _ in range(GENERATIONS):
            strays = [one for one in psutil.Process().children() if one.pid not in spared]
            if not strays:
                return
            for stray in strays:
                stray.kill()
            # dead, they leave us their own children
            psutil.wait_procs(strays, timeout=1.0)

    def watch_for_room(self, channel: Channel) -> None:
        """Be woken when a channel that could not take all of a message can take more."""
        with contextlib.suppress(KeyError, ValueError):
            key = self.selector.get_key(channel)
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if channel.unsent else 0)
            if key.events != wanted:
                self.selector.modify(channel, wanted, key.data)

    def unwatch(self, source: Channel | int) -> None:
        with contextlib.suppress(KeyError, ValueError):
            self.selector.unregister(source)


def main() -> None:
    """``python -m archsearch.execute.supervisor SOCKET RUN WORKERS DEVICES [orphan]``."""
    descriptor, run, workers, devices, *how = sys.argv[1:]
    # no child of the driver's any more, which may be killed with all of its children
    if how == [ORPHAN] and os.fork():
        os._exit(0)
    control = Channel(socket.socket(fileno=int(descriptor)))
    try:
        function = pkgutil.resolve_name(run)
    except (Exception, SystemExit) as error:
        control.send({"broken": one_line(described(error))})
        control.drain()
        sys.exit(1)
    control.send({"ready": True})
    named = devices.split(",") if devices else []
    Supervisor(control, function, int(workers), named).supervise()
    # an interpreter that has imported torch takes a while to leave in good order
    os._exit(0)


if __name__ == "__main__":
    main()
