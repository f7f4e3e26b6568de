"""Kills and pauses the processes of a running study, one at a time, at moments nobody chose.

A trial under which a worker is lost three times is crashed by promise; so that the study comes to
what it would come to undisturbed, no worker is killed under a trial that was lost twice.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import psutil
from journal import Line, parsed

from archsearch.study.drive import WITH_DRIVER

ENOUGH = 2
# killed, another driver holds the study, try again later
SURVIVABLE = (-signal.SIGKILL, 4, 75)


def dose(count: int) -> list[str]:
    """``count`` faults: four in five at workers, the rest at drivers, one in five a pause."""
    shares = {
        "stop worker": count * 4 // 25,
        "kill supervisor": count * 2 // 25,
        "stop driver": count // 25,
        "kill driver": count // 5 - count // 25,
    }
    shares["kill worker"] = count - sum(shares.values())
    return [fault for fault, times in shares.items() for _ in range(times)]


@dataclass
class Follower:
    """Reads a journal as it grows and knows what is going on."""

    path: Path
    read: int = 0
    lines: list[Line] = field(default_factory=list)
    rest: bytes = b""

    def look(self) -> None:
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as file:
            file.seek(self.read)
            new = file.read()
            self.read += len(new)
            *whole, self.rest = (self.rest + new).split(b"\n")
            self.lines += parsed(whole)

    def current(self, worker: int) -> int | None:
        """The trial a worker is in the midst of."""
        for line in reversed(self.lines):
            if line["pid"] == worker:
                return int(line["trial"]) if line["what"] == "run" else None
        return None

    def losses(self) -> Counter[int]:
        """How often each trial was lost while its driver lived; what was only asked, counts."""
        return Counter(
            line["trial"]
            for line in self.lines
            if line["what"] == "asked"
            and line["act"] == "restart"
            and line["reason"] != WITH_DRIVER.message
        )

    def in_hand(self, driver: int) -> set[int]:
        """The trials that a driver has handed out and has not seen the end of."""
        begun: set[int] = set()
        for line in self.lines:
            if line["pid"] == driver and line["what"] == "submitted":
                begun.add(line["trial"])
            elif line["pid"] == driver and line["what"] == "acknowledged":
                begun.discard(line["trial"])
        return begun


@dataclass
class Killer:
    """``launch`` starts a driver that will, undisturbed, complete the study."""

    launch: Callable[[], ForkServerProcess]
    journal: Follower
    rng: random.Random
    lease: float
    done: Counter[str] = field(default_factory=Counter)
    drivers: list[ForkServerProcess] = field(default_factory=list)

    def torment(self, faults: list[str]) -> list[str]:
        """Inject the faults until they or the study are at an end; returns those left over.

        Afterwards the study is complete and no driver is left.
        """
        left = list(faults)
        self.driver = self.start()
        try:
            while self.driver.exitcode != 0:
                if left and self.wait_for_work():
                    if self.inject(left[-1]):
                        self.done[left.pop()] += 1
                    else:
                        left.insert(self.rng.randrange(len(left)), left.pop())
                    continue
                self.driver.join()
                if self.driver.exitcode != 0:
                    assert self.driver.exitcode in SURVIVABLE, self.last_words()
                    self.driver = self.start()
        finally:
            for one in self.drivers:
                one.kill()
                one.join()
        return left

    def start(self) -> ForkServerProcess:
        driver = self.launch()
        self.drivers.append(driver)
        return driver

    def last_words(self) -> str:
        self.journal.look()
        traces = [line["trace"] for line in self.journal.lines if line["what"] == "broke"]
        return f"a driver left with exit code {self.driver.exitcode}: {traces[-1:]}"

    def wait_for_work(self) -> bool:
        """Until a few more things have happened, or a moment; False when the driver is gone."""
        self.journal.look()
        wanted = len(self.journal.lines) + self.rng.randrange(1, 25)
        deadline = time.monotonic() + (self.rng.uniform(0.0, 0.1) if self.rng.random() < 0.2 else 9)
        while len(self.journal.lines) < wanted and time.monotonic() < deadline:
            if not self.driver.is_alive():
                return False
            time.sleep(0.001)
            self.journal.look()
        time.sleep(self.rng.uniform(0.0, 0.01))
        return self.driver.is_alive()

    def inject(self, fault: str) -> bool:
        """Whether there was someone to do it to."""
        assert self.driver.pid is not None
        if fault == "kill driver":
            self.driver.kill()
            return True
        if fault == "stop driver":
            return self.stop_driver()
        try:
            supervisor = psutil.Process(self.driver.pid).children()[0]
            if fault == "kill supervisor":
                return self.kill_supervisor(supervisor)
            worker = self.rng.choice(supervisor.children())
        except (psutil.Error, IndexError):
            return False
        return (self.stop_worker if fault == "stop worker" else self.kill_worker)(worker)

    def kill_worker(self, worker: psutil.Process) -> bool:
        with paused(worker.pid) as stopped:
            if not stopped:
                return False
            self.journal.look()
            losses = self.journal.losses()
            trial = self.journal.current(worker.pid)
            # between two jobs it may be any trial's worker next
            near = self.journal.in_hand(self.driver.pid) if trial is None else {trial}
            if any(losses[index] >= ENOUGH for index in near):
                return False
            os.kill(worker.pid, signal.SIGKILL)
        return True

    def kill_supervisor(self, supervisor: psutil.Process) -> bool:
        """All of its jobs are lost; waits until the driver knows."""
        self.journal.look()
        losses, running = self.journal.losses(), self.journal.in_hand(self.driver.pid)
        if any(losses[index] for index in running):
            return False
        before = len(self.journal.lines)
        supervisor.kill()
        while running and self.driver.is_alive():
            time.sleep(0.001)
            self.journal.look()
            for line in self.journal.lines[before:]:
                if line["what"] == "acknowledged" or line.get("act") == "restart":
                    running.discard(line["trial"])
        return True

    def stop_worker(self, worker: psutil.Process) -> bool:
        with paused(worker.pid) as stopped:
            if stopped:
                time.sleep(self.rng.uniform(1.0, 1.3) * self.lease)
        return stopped

    def stop_driver(self) -> bool:
        """Past its lease; in two of three cases another driver has the study when it wakes."""
        sleeper, other = self.driver, None
        assert sleeper.pid is not None
        with paused(sleeper.pid) as stopped:
            if not stopped:
                return False
            time.sleep(self.rng.uniform(1.0, 1.3) * self.lease)
            if self.rng.random() < 2 / 3:
                other = self.start()
                self.wait_for_acquisition(other)
        if other is not None:
            # one of them is refused: the sleeper, unless it slept on the lock of the database
            while sleeper.is_alive() and other.is_alive():
                time.sleep(0.001)
            self.driver = other if other.is_alive() or other.exitcode == 0 else sleeper
        return True

    def wait_for_acquisition(self, driver: ForkServerProcess) -> None:
        self.journal.look()
        before = len(self.journal.lines)
        deadline = time.monotonic() + 2.0
        while driver.is_alive() and time.monotonic() < deadline:
            time.sleep(0.001)
            self.journal.look()
            for line in self.journal.lines[before:]:
                if (line["pid"], line.get("act"), line["what"]) == (driver.pid, "acquire", "did"):
                    return


@contextlib.contextmanager
def paused(pid: int) -> Iterator[bool]:
    """The process stands still meanwhile; False when there is none any more."""
    try:
        os.kill(pid, signal.SIGSTOP)
    except ProcessLookupError:
        yield False
        return
    try:
        yield stands_still(pid)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def stands_still(pid: int) -> bool:
    while True:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        if state in "Tt":
            return True
        if state in "ZX":
            return False
        time.sleep(0.0005)


def left_behind(mark: tuple[str, str], patience: float = 10.0) -> list[str]:
    """The processes with that variable in their environment that do not go away by themselves."""
    deadline = time.monotonic() + patience
    while True:
        left = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.environ().get(mark[0]) == mark[1] and process.pid != os.getpid():
                    left.append(f"{process.pid} {' '.join(process.cmdline())}")
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)
